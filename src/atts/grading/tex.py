"""Plain answers further into TeX, for a parser that reads TeX only."""

from __future__ import annotations

import re

_FUNCTION = r"(?:arc)?(?:sin|cos|tan)|(?:sin|cos|tan)h|cot|sec|csc|ln|log|exp|sqrt|cbrt|abs"
_CALL = re.compile(rf"(?<![A-Za-z\\])({_FUNCTION})\s*\(")
_NAMED = re.compile(r"(?<![A-Za-z\\])(sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|ln|log)(?![A-Za-z])")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_IN_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\\circ ?")
_CONSTANTS = (
    (re.compile(r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])", re.IGNORECASE), r"\\infty "),
    (re.compile(r"(?<![A-Za-z\\])(?:pi|Pi|PI)(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\s*\*\s*"), r" \\cdot "),
    (re.compile(r"(?<![A-Za-z\\])sqrt\s*(\d+|[A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(r"\\sqrt\s+(?=[\d{A-Za-z])"), r"\\sqrt"),
    (re.compile(r"(?<![\w.])1i(?![A-Za-z])"), "i"),
    (re.compile(r"(?<=\d)i(?![A-Za-z])"), " i"),  # apart, or it is taken for a symbol
    (re.compile(r"\\begin\{array\}\s*(?:\{[^{}]*\})?"), r"\\begin{pmatrix}"),
    (re.compile(r"\\end\{array\}"), r"\\end{pmatrix}"),
    (re.compile(r"[(\[]\s*(?=\\begin\{[pbvBV]?matrix\})|(?<=matrix\})\s*[)\]]"), " "),
)


def tex(text: str) -> str:
    """Plain text further into TeX: functions, powers and constants as programs write them, angles in radians."""
    text = _calls(text)
    for pattern, spelling in _CONSTANTS:
        text = pattern.sub(spelling, text)
    text = _powers(_NAMED.sub(r"\\\1 ", text))
    angle = r"(\\frac{\1\\pi}{180})" if _TRIGONOMETRIC.search(text) else r"\1"
    return _IN_DEGREES.sub(angle, text).replace("^\\circ", "")


def _calls(text: str) -> str:
    """`sqrt(x)` as `\\sqrt{x}`, `exp(x)` as `e^{x}`, and so on; other functions get their backslash."""
    spelt = {"sqrt": ("\\sqrt{", "}"), "cbrt": ("\\sqrt[3]{", "}"), "exp": ("e^{", "}"), "abs": ("|", "|")}
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
