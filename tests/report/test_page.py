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
from atts.report.page import render, shorten, visible
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
            rejected = [turn.get("rejected") for turn in chain["turns"]]
            assert rejected == [turn.decision.rejected if turn.decision else None for turn in turns]


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
    assert list(formulas(text)) == ["x_1", "a", "b", "c", r"\boxed{\frac{1}{2}}"]


@pytest.mark.parametrize("source", [r"\frac{", "{" * 5000, r"\left(" * 300, r"\begin{x}", r"\text{" * 50, ""])
def test_broken_formulas_have_no_drawing_or_a_harmless_one(source: str) -> None:
    pytest.importorskip("latex2mathml")
    for tree in Drawings(5.0).trees([source]).values():
        assert tree[0] == "math"


def test_formulas_lose_links_and_styles() -> None:
    pytest.importorskip("latex2mathml")
    sources = [r"\href{javascript:alert(1)}{x}", r"\style{color:red}{x}", r"\class{a}{x}"]
    drawn = json.dumps(Drawings(5.0).trees(sources).__repr__())
    assert drawn.count("mrow") >= 3
    assert not any(word in drawn.split("{x}'")[-1] for word in ("'href':", "'style':", "'class':"))


def test_formulas_that_define_others_are_not_drawn() -> None:
    pytest.importorskip("latex2mathml")
    laughs = "".join(rf"\newcommand{{\{a}}}{{{8 * (chr(92) + b)}}}" for a, b in pairwise("abcdefghijklmnop")) + r"\a"
    assert Drawings(5.0).trees([laughs, r"\def\x{y}\x", r"\renewcommand{\x}{y}"]) == {}


def test_no_time_no_drawings() -> None:
    assert Drawings(0.0).trees(["x"]) == {}


def test_hidden_characters_are_spelled_out() -> None:
    assert visible("a\u202eb\x00") == "a⟨U+202E⟩b⟨U+0000⟩"
    assert shorten("a\n" * 500, 10) == "a a a a a…"
