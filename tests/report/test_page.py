"""The page as a file: self-contained, within its budget, honest about what is left out."""

from __future__ import annotations

import base64
import json
import re
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from atts import load_run
from atts.report.mathematics import Drawings, formulas
from atts.report.numbers import apart
from atts.report.page import figure, render, shorten, visible
from atts.report.plots import whole_numbers
from atts.report.texts import blocks
from tests.report.conftest import write_run


def unpack(block: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(block), -15))
    return found


def test_every_chunk_is_in_the_page_with_its_decision(finished: Path) -> None:
    run = load_run(finished)
    found = blocks(run, 1_000_000)
    assert found.limit is None and found.left_out == 0
    for problem, block in zip(run.problems, found.encoded, strict=True):
        content = unpack(block)
        assert content["question"] == problem.question
        for chain in content["chains"]:
            turns = run.turns[problem.id, chain["sample"]]
            assert [turn["n"] for turn in chain["turns"]] == [turn.turn for turn in turns]
            texts = ["".join(piece["text"]) for turn in chain["turns"] for piece in turn["pieces"]]
            assert texts == [p.text for turn in turns for p in (turn.draft, turn.takeover) if p is not None]
            taken = [turn.get("taken") for turn in chain["turns"]]
            assert taken == [turn.decision.rejected if turn.decision else None for turn in turns]


def test_texts_stay_within_the_budget_and_say_what_is_missing(tmp_path: Path) -> None:
    long = "".join(f"{number * 7919 % 10007} " for number in range(20_000))
    run = load_run(write_run(tmp_path / "r", [(long, None), ("short", long)]))
    whole, cut = blocks(run, 1_000_000), blocks(run, 20_000)
    assert whole.limit is None
    assert cut.limit is not None and sum(map(len, cut.encoded)) <= 20_000 < sum(map(len, whole.encoded))
    pieces = [piece for turn in unpack(cut.encoded[0])["chains"][0]["turns"] for piece in turn["pieces"]]
    head, tail = pieces[0]["text"]
    assert long.startswith(head) and long.endswith(tail)
    assert len(head) + len(tail) + pieces[0]["cut"] == len(long)
    assert sum(piece.get("cut", 0) for piece in pieces) == cut.left_out
    assert pieces[1]["text"] == ["short"]


def test_the_page_names_no_address_but_its_own_words(finished: Path) -> None:
    pytest.importorskip("matplotlib")
    page = render([load_run(finished)])
    loaded = re.findall(r'(?:src|href|action|data)\s*=\s*"([^"#][^"]*)"|url\((?!#)([^)]*)\)|@import', page)
    assert loaded == []
    assert "default-src &#39;none&#39;" in page
    assert page == render([load_run(finished)])  # the same run gives the same file


def test_formulas_of_a_text() -> None:
    text = r"so $x_1$ costs $5 or $6, \(a\) and \[b\] $$c$$ and \boxed{\frac{1}{2}} but not \( open"
    assert [formula.source for formula in formulas(text)] == ["x_1", "a", "b", "c", r"\boxed{\frac{1}{2}}"]


def test_formulas_of_any_depth_and_environments() -> None:
    deep = r"\boxed{\left\{\frac{1}{2^{n_{k}}}\right\}}"
    lines = r"\begin{align*} x &= \begin{pmatrix} 1 \\[2pt] 2 \end{pmatrix} \\ y &= 2 \end{align*}"
    found = list(formulas(rf"So {deep} or {lines}, but \begin{{itemize}} no \end{{itemize}} and \boxed{{open"))
    assert [(formula.source, formula.block) for formula in found] == [(deep, False), (lines, True)]
    pytest.importorskip("latex2mathml")
    assert all(Drawings(5.0).tree(formula.source) for formula in found)
    rows = Drawings(5.0).tree(r"\begin{aligned} a &= b \\ c &= d \end{aligned}")
    assert str(rows).count("'mtr'") == 2 and "&" not in str(rows)


@pytest.mark.parametrize(
    "text",
    [
        r"Revenue ($) minus cost ($) gives profit ($) for the firm. Prices: \$x",
        "`$HOME/$USER` and $HOME$USER",
        "It costs $5, a pair costs $9; price $3 and\n 4$ left. $50-$60 or US$5 and A$7",
        r"\$5 + \$6 = \$11, and \\[2pt] or \\(no\\)",
        "the $price of the$ first",
    ],
)
def test_prose_is_no_formula(text: str) -> None:
    assert list(formulas(text)) == []


def test_formulas_between_prose() -> None:
    text = r"A $x$-axis, the $n$th and $2$nd, $\text{a long word} = \$5$, $f(x)$s, ($a < b$) & $AB \parallel CD$."
    assert [formula.source for formula in formulas(text)] == [
        *("x", "n", "2", r"\text{a long word} = \$5", "f(x)", "a < b", r"AB \parallel CD")
    ]


@pytest.mark.parametrize("part", [r"\boxed{", "{", r"\(", "$", r"\begin{align}", r"\begin{align}\begin{cases}", "$a "])
def test_a_text_of_openings_is_read_in_one_go(part: str) -> None:
    assert len(list(formulas(part * 20_000))) < 20_000


def test_numbers_that_are_compared_are_told_apart() -> None:
    assert apart(0.3634, 0.36339) == (0.3634, 0.36339)
    assert apart(0.5, 0.25) == (0.5, 0.25)
    assert apart(0.25, 0.25) == (0.25, 0.25)
    assert apart(float("nan"), 0.25) == (None, 0.25)
    assert apart(None, float("inf")) == (None, None)


def test_one_point_stands_between_whole_numbers() -> None:
    pytest.importorskip("matplotlib")

    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.plot([1], [0.5], "o")
    whole_numbers(axes)
    assert axes.get_xlim() == (0, 2)
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_large_figures_are_written_out() -> None:
    assert (figure(1786.4), figure(0.01234), figure(None)) == ("1,786", "0.0123", "–")


@pytest.mark.parametrize("source", [r"\frac{", "{" * 5000, r"\left(" * 300, r"\begin{x}", r"\text{" * 50, ""])
def test_broken_formulas_have_no_drawing_or_a_harmless_one(source: str) -> None:
    pytest.importorskip("latex2mathml")
    tree = Drawings(5.0).tree(source)
    assert tree is None or tree[0] == "math"


def test_formulas_lose_links_and_styles() -> None:
    pytest.importorskip("latex2mathml")
    sources = [r"\href{javascript:alert(1)}{x}", r"\style{color:red}{x}", r"\class{a}{x}"]
    drawn = json.dumps({source: Drawings(5.0).tree(source) for source in sources}.__repr__())
    assert drawn.count("mrow") >= 3
    assert not any(word in drawn.split("{x}'")[-1] for word in ("'href':", "'style':", "'class':"))


def test_formulas_that_define_others_are_not_drawn() -> None:
    pytest.importorskip("latex2mathml")
    laughs = "".join(rf"\newcommand{{\{a}}}{{{8 * (chr(92) + b)}}}" for a, b in pairwise("abcdefghijklmnop")) + r"\a"
    for source in (laughs, r"\def\x{y}\x", r"\renewcommand{\x}{y}"):
        assert Drawings(5.0).tree(source) is None


def test_no_time_no_drawings() -> None:
    assert Drawings(0.0).tree("x") is None


def test_hidden_characters_are_spelled_out() -> None:
    assert visible("a\u202eb\x00") == "a⟨U+202E⟩b⟨U+0000⟩"
    assert shorten("a\n" * 500, 10) == "a a a a a…"
