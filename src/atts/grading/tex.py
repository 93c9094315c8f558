"""Plain answers further into TeX, for a parser that reads TeX only."""

from __future__ import annotations

import re

_FUNCTION = (
    r"(?:arc|a)?(?:sin|cos|tan)|(?:sin|cos|tan)h|cot|sec|csc|ln|log(?:2|10)?|exp|sqrt|cbrt|abs|floor|ceil|factorial"
)
_CALL = re.compile(rf"(?<![A-Za-z\\])({_FUNCTION})\s*\(")
_NAMED = re.compile(r"(?<![A-Za-z\\])(sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|ln|log)(?![A-Za-z])")
_TWO_ARGUMENTS = (
    (re.compile(r"(?<![A-Za-z\\])log\s*\(([^(),]+),([^(),]+)\)"), r"\\log_{\2}{(\1)}"),
    (re.compile(r"(?<![A-Za-z\\])(?:binomial|comb|binom|C)\s*\(([^(),]+),([^(),]+)\)"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<![A-Za-z\\])(?:Rational|Fraction)\s*\(([^(),]+),([^(),]+)\)"), r"\\frac{\1}{\2}"),
    (re.compile(r"(?<![A-Za-z\\])root\s*\(([^(),]+),([^(),]+)\)"), r"\\sqrt[\2]{\1}"),
)
_GREEK = "alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|psi|omega"
_ROWS = re.compile(r"(?:Matrix|array|np\.array)?\s*\(?\s*\[\s*(\[[^\[\]]*\](?:\s*,\s*\[[^\[\]]*\])*)\s*\]\s*\)?")
TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_IN_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\\circ ?")
_CONSTANTS = (
    (re.compile(r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])", re.IGNORECASE), r"\\infty "),
    (re.compile(r"(?<![A-Za-z\\])(?:pi|Pi|PI)(?![A-Za-z])"), r"\\pi "),
    (re.compile(rf"(?<![A-Za-z\\])({_GREEK})(?![A-Za-z])"), r"\\\1 "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\^\s*-\s*([A-Za-z])(?![A-Za-z])"), r"^{-\1}"),
    (re.compile(r"\s*\*\s*"), r" \\cdot "),
    (re.compile(r"(?<![A-Za-z\\])sqrt\s*(\d+|[A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"\\sqrt\s+(?=[\d{A-Za-z])"), r"\\sqrt"),
    (re.compile(r"(?<![\w.])1[ij](?![A-Za-z])"), "i"),
    (re.compile(r"(?<=\d)[ij](?![A-Za-z])"), " i"),  # apart, or it is taken for a symbol
    (re.compile(r"\\begin\{array\}\s*(?:\{[^{}]*\})?"), r"\\begin{pmatrix}"),
    (re.compile(r"\\end\{array\}"), r"\\end{pmatrix}"),
    (re.compile(r"[(\[]\s*(?=\\begin\{[pbvBV]?matrix\})|(?<=matrix\})\s*[)\]]"), " "),
)


def tex(text: str) -> str:
    """Plain text further into TeX: functions, powers and constants as programs write them, angles in radians."""
    for pattern, spelling in _TWO_ARGUMENTS:
        text = pattern.sub(spelling, text)
    text = _calls(text)
    for pattern, spelling in _CONSTANTS:
        text = pattern.sub(spelling, text)
    text = _powers(_NAMED.sub(r"\\\1 ", text))
    angle = r"(\\frac{\1\\pi}{180})" if TRIGONOMETRIC.search(text) else r"\1"
    return _IN_DEGREES.sub(angle, text).replace("^\\circ", "")


def matrix(text: str) -> str:
    """The rows `[[1,2],[3,4]]` as a matrix; any other text as it is."""
    if not (rows := _ROWS.fullmatch(text)):
        return text
    lines = (row.replace(",", " & ") for row in re.findall(r"\[([^\[\]]*)\]", rows[1]))
    return "\\begin{pmatrix}" + " \\\\ ".join(lines) + "\\end{pmatrix}"


def _calls(text: str) -> str:
    """`sqrt(x)` as `\\sqrt{x}`, `exp(x)` as `e^{x}`, and so on; other functions get their backslash."""
    spelt = {
        **{"sqrt": ("\\sqrt{", "}"), "cbrt": ("\\sqrt[3]{", "}"), "exp": ("e^{", "}"), "abs": ("|", "|")},
        **{"log2": ("\\log_{2}(", ")"), "log10": ("\\log_{10}(", ")"), "factorial": ("(", ")!")},
        **{"floor": ("\\lfloor ", "\\rfloor "), "ceil": ("\\lceil ", "\\rceil ")},
        **{f"a{name}": (f"\\arc{name}(", ")") for name in ("sin", "cos", "tan")},
    }
    pieces: list[str] = []
    ends: list[str] = []  # for every open bracket, what closes it
    end = 0
    for token in re.finditer(rf"{_CALL.pattern}|[()]", text):
        pieces.append(text[end : token.start()])
        end = token.end()
        if token[0] == ")":
            pieces.append(ends.pop() if ends else ")")
            continue
        begin, close = spelt.get(token[1] or "", (f"\\{token[1]}(" if token[1] else "(", ")"))
        pieces.append(begin)
        ends.append(close)
    return "".join((*pieces, text[end:]))


def _powers(text: str) -> str:
    """`x^(1/2)` as `x^{1/2}`, and `x^10` as `x^{10}`."""
    text = re.sub(r"\^\s*(-?\d{2,}|-\d)(?![\d}])", r"^{\1}", text)
    pieces: list[str] = []
    ends: list[str] = []
    end = 0
    for token in re.finditer(r"\^\s*\(|[()]", text):
        pieces.append(text[end : token.start()])
        end = token.end()
        if token[0] == ")":
            pieces.append(ends.pop() if ends else ")")
            continue
        pieces.append("^{" if len(token[0]) > 1 else "(")
        ends.append("}" if len(token[0]) > 1 else ")")
    return "".join((*pieces, text[end:]))
