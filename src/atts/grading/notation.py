"""One notation for answers: what does not change the meaning goes, Unicode and program code become TeX.

Nothing is understood here: whatever cannot be read stays as it is. Of longer texts than `LONGEST` only blanks are made
one, so that no text takes long.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 2_000
"""Characters; no answer of more is a number, a letter or an expression."""

# Read before NFKC, which makes plain digits of all three: 10² would be 102, 1½ would be 11/2.
_VULGAR = re.compile("[²³¹⁰-⁹]+⁄[₀-₉]+|[¼-¾⅐-⅞↉]")
_RAISED = re.compile("[²³¹⁰-ⁿ]+")
_LOWERED = re.compile("[₀-ₜ]+")
_ROOT = re.compile(r"([√∛∜])\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[A-Za-z])|\{([^{}]*)\})")
_DEGREES = {"∛": "[3]", "∜": "[4]", "√": ""}
_SIGNS = {
    **dict.fromkeys("−–—‒﹣－", "-"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("‘’", "'"),
    **{"⁄": "/", "∕": "/", "÷": "/", "º": "°", "˚": "°", "：": ":", "∶": ":"},
    **{"√": "\\sqrt ", "∞": "\\infty ", "∪": "\\cup ", "∩": "\\cap ", "±": "\\pm ", "∓": "\\mp "},
    **dict.fromkeys("·⋅∙", "\\cdot "),
    **{"×": "\\times ", "∈": "\\in ", "≤": "\\le ", "⩽": "\\le ", "≥": "\\ge ", "⩾": "\\ge ", "≠": "\\ne "},
    **{"≈": "\\approx ", "…": "\\ldots ", "⋯": "\\ldots ", "∅": "\\emptyset ", "⌀": "\\emptyset "},
    **{"⟨": "\\langle ", "⟩": "\\rangle ", "〈": "\\langle ", "〉": "\\rangle ", "∘": "\\circ "},
    **{"ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "ℕ": "\\mathbb{N}", "ℚ": "\\mathbb{Q}", "ℂ": "\\mathbb{C}"},
    **{"⊂": "\\subset ", "⊆": "\\subseteq ", "⊃": "\\supset ", "⊇": "\\supseteq ", "∉": "\\notin "},
    **{"∥": "\\parallel ", "⊥": "\\perp ", "≅": "\\cong ", "≡": "\\equiv ", "∑": "\\sum ", "∫": "\\int "},
    **{"∠": "\\angle ", "△": "\\triangle ", "∧": "\\land ", "∨": "\\lor ", "∖": "\\setminus ", "→": "\\to "},
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u2061\u2062", ""),
}
_GREEK = {
    chr(code): rf"\{name if code >= 0x3B1 else name.capitalize()} "
    for code in range(0x391, 0x3CA)
    if (name := unicodedata.name(chr(code), "").rpartition(" ")[2].lower().replace("lamda", "lambda"))
}
_CHARACTERS = str.maketrans(_GREEK | _SIGNS)

_SPELLINGS = (
    (re.compile(r"\\[dtcs]frac(?![A-Za-z])|\\[ns]icefrac(?![A-Za-z])|\\flatfrac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:c|l|v)?dots[bcimo]?(?![A-Za-z])|\\ldots(?![A-Za-z])|(?<!\.)\.\.\.(?!\.)"), r"\\ldots "),
    (re.compile(r"\\varnothing(?![A-Za-z])|\\\{\s*\\\}|^\{\s*\}$|(?i:\bempty set\b)"), r"\\emptyset "),
    (re.compile(r"\\ge(?:q|qslant|qq)(?![A-Za-z])|>="), r"\\ge "),
    (re.compile(r"\\le(?:q|qslant|qq)(?![A-Za-z])|<=(?!>)"), r"\\le "),
    (re.compile(r"\\neq(?![A-Za-z])|\\not\s*=|!="), r"\\ne "),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\(?:text)?degrees?(?![A-Za-z])|°"
     r"|\^\s*(?:\{\s*(?:\\circ|o)\s*\}|(?:\\circ|o)(?![A-Za-z]))"), r"^\\circ "),
    (re.compile(r"\\colon(?![A-Za-z])"), ":"),
    (re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\[lr]vert(?![A-Za-z])|\\mid(?![A-Za-z])"), "|"),
    (re.compile(r"\\(?:pounds|textsterling)(?![A-Za-z])"), "£"),
    (re.compile(r"\\(?:text)?euro(?![A-Za-z])"), "€"),
    (re.compile(r"\\(?:text)?(?:yen|dollar)(?![A-Za-z])"), ""),
    (re.compile(r"(\\mathbb\{[A-Z]\})\s*(?:\\\s+|\\backslash\s*)\\?\{([^{}\\]*)\\?\}"), r"\1\\setminus \\{\2\\}"),
    (re.compile(r",\s*\\!\s*|\{,\}"), ","),
    (re.compile(r"(?<!\\)\\(?:[,;:!> ]|quad(?![A-Za-z])|qquad(?![A-Za-z]))|~"), " "),
    (re.compile(r"\\(?:m?left|m?right|[bB]igg?[lr]?|displaystyle|textstyle|scriptstyle|bf|rm|it|bfseries|large|Large|boldmath"
                r"|limits|phantom|mathstrut)(?![A-Za-z])"), " "),
    (re.compile(r"\\(?:text)?color\s*(?:\[[^\[\]{}]*\])?\{[^{}]*\}"), " "),
    (re.compile(r"\\\\\s*\[[^\[\]{}]{0,12}\]"), r"\\\\ "),
    (re.compile(r"\{([^{}]*)\\over(?![A-Za-z])([^{}]*)\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\sqrt\s*([0-9A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
)  # fmt: skip
_WRAPPER = (
    r"boxed|fbox|text(?:bf|it|rm|sf|tt|normal|up)?|emph|math(?:rm|bf|it|sf|tt|normal)|[mh]box|operatorname|underline"
    r"|boldsymbol|bm|pmb|bold|ensuremath|tag"
)
_OPENED = re.compile(rf"\\(?:{_WRAPPER})\*?\s*\{{|\\.|[{{}}]", re.DOTALL)
_MARKS = (("**", "**"), ("__", "__"), ("```", "```"), ("`", "`"), ("*", "*"), ('"', '"'), ("'", "'"))
_DELIMITERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_FINAL = re.compile(r"(?:(?<!\\)[.;,\s]|\\\\$)+$")
_TAGS = re.compile(r"</?(?:b|i|u|em|strong|sub|sup|span|p|code|mark)\s?/?>", re.IGNORECASE)
_ANNOUNCED = re.compile(r"^(?i:(?:(?:so|the|my|final|correct)\s+)*answer(?:\s+is\b\s*:?|\s*[:=]))\s*(?=.*\d)")


def plain(text: str) -> str:
    """Without what does not change the meaning: decoration, delimiters, blanks, wrappers, a final stop."""
    text = " ".join(text.split())
    if len(text) > LONGEST:
        return text
    text = undecorated(_TAGS.sub("", text).replace("...", "\\ldots "))
    if not text.isascii():
        text = _spelled(text)
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    text = _unwrapped(text.replace("\\$", "").replace("$", ""))
    text = _bare_braces(undecorated(_ANNOUNCED.sub("", " ".join(text.split()).lstrip(",; "))))
    return _FINAL.sub("", " ".join(text.split()))


def undecorated(text: str) -> str:
    """Without Markdown, quotes and delimiters around the whole of it."""
    for _ in range(6):
        before = text
        text = _FINAL.sub("", text.strip())
        for left, right in (*_MARKS, *_DELIMITERS):
            inside = text[len(left) : len(text) - len(right)]
            if (
                len(text) > len(left) + len(right)
                and text.startswith(left)
                and text.endswith(right)
                and right not in inside
            ):
                text = inside.strip()
        if text == before:
            break
    return text


def _spelled(text: str) -> str:
    """In TeX's spelling, as far as TeX has one."""
    text = _VULGAR.sub(_vulgar, text)
    text = _LOWERED.sub(r"_{\g<0>}", _RAISED.sub(r"^{\g<0>}", text))
    text = _ROOT.sub(lambda match: f"\\sqrt{_DEGREES[match[1]]}{{{next(filter(None, match.groups()[1:]), '')}}}", text)
    kept = text.translate(_CHARACTERS)  # before NFKC too, which takes some of these apart
    return unicodedata.normalize("NFKC", kept).translate(_CHARACTERS)


def _vulgar(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match[0]).partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}"


def _unwrapped(text: str) -> str:
    r"""`\text{…}` and its like without command and braces, however deep; braces that do not match stay."""
    pieces: list[str] = []
    open_: list[bool] = []  # for every open brace, whether it is a wrapper's
    end = 0
    for token in _OPENED.finditer(text):
        pieces.append(text[end : token.start()])
        end = token.end()
        wrapper = len(token[0]) > 2 and token[0].endswith("{")
        if token[0] == "}" and open_:
            pieces.append(" " if open_.pop() else "}")
            continue
        if wrapper or token[0] == "{":
            open_.append(wrapper)
        pieces.append(" " if wrapper else token[0])
    pieces.append(text[end:])
    return "".join(pieces)


def _bare_braces(text: str) -> str:
    """Without braces around the whole of it, and around a number behind a sign."""
    while text.startswith("{") and text.endswith("}") and _closes(text) == len(text) - 1:
        text = text[1:-1].strip()
    return re.sub(r"^([+-])\s*\{\s*([\d.,]+)\s*\}$", r"\1\2", text)


def _closes(text: str) -> int:
    """Where the brace that opens a text is closed; -1 if it is not."""
    depth = 0
    for token in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
    return -1
