"""The report in a real browser: what a person sees, and what hostile texts do not do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atts import load_run
from atts.report.page import write_page
from atts.runs.summary import taken_over
from tests.report.conftest import execute, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

Open = Callable[..., "Page"]


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """Not here: the browser is driven from an event loop of its own, in which these tests rightly block."""


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens the report of runs; afterwards no page may have complained or asked the network for anything."""
    complaints: list[str] = []

    def show(*runs: Path, width: int = 1280, dark: bool = False) -> Page:
        path = tmp_path / "report.html"
        write_page([load_run(run) for run in runs], path)
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", offline=True
        )
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return page

    yield show
    assert complaints == []


def problems(page: Page) -> list[str]:
    return [text.split()[0] for text in page.locator("tbody:visible button.open").all_inner_texts()]


def test_sorts_and_filters(show: Open, finished: Path) -> None:
    page = show(finished)
    before = problems(page)
    assert len(before) == 4
    head = page.get_by_role("button", name="problem", exact=True)
    head.click()
    assert problems(page) == before[::-1]
    assert head.locator("xpath=..").get_attribute("aria-sort") == "descending"
    page.get_by_label("Find").fill(before[2])
    assert problems(page) == [before[2]]
    assert page.locator("output").inner_text() == "1 of 4 problems"
    page.get_by_label("Find").fill("")
    page.get_by_label("Show").select_option("unfinished")
    assert problems(page) == []


def test_unfolds_a_chain_and_shows_a_decision_without_a_mouse(show: Open, tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", [("First \\(x^2\\).\n\n", None), ("Wrong.\n\n", "So \\boxed{42}.")])
    page = show(run)
    page.locator("button.open").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".chain")
    page.locator(".chain > summary").focus()
    page.keyboard.press("Enter")
    page.locator(".facts").nth(1).wait_for()
    accepted, taken = page.locator(".facts").all_inner_texts()
    assert "accepted" in accepted and "p 0.75 > threshold 0.25" in accepted and "score 0.5" in accepted
    assert "target takes over" in taken and "p 0.125 ≤ threshold 0.25" in taken
    assert page.locator(".piece.draft .text").first.inner_text().startswith("First")
    assert page.locator(".piece.target math menclose").text_content() == "42"
    assert page.locator(".piece.draft math msup").count() == 1
    folded = page.locator(".piece.dropped details")
    assert not folded.locator(".text").is_visible()
    folded.locator("summary").press("Enter")
    assert folded.locator(".text").inner_text().startswith("Wrong.")


def test_thinking_is_folded(show: Open, tmp_path: Path) -> None:
    texts = [
        ("<think>Hm.\n\n", None),
        ("Let me see.\n\n", None),
        ("I know.</think>It is so.\n\n", None),
        ("End.", None),
    ]
    page = show(write_run(tmp_path / "r", texts))
    page.locator("button.open").click()
    page.locator(".chain > summary").click()
    fold = page.locator(".chain > details.thinking")
    assert fold.locator("summary").inner_text().startswith("thinking: 2 turns")
    page.locator(".chain").get_by_text("It is so.").wait_for()  # texts are unpacked when they are opened
    assert "Let me see." not in page.locator(".chain").inner_text()
    fold.locator("summary").click()
    page.locator(".chain").get_by_text("Let me see.").wait_for()


def unfold(page: Page) -> Locator:
    """Opens the first problem and its first chain, and waits for the chain's turns."""
    page.locator("button.open").first.click()
    page.locator(".chain > summary").first.click()
    page.locator(".chain .facts").first.wait_for(state="attached")
    return page.locator(".chain").first


def test_thinking_is_folded_where_it_ends_whatever_characters_it_has(show: Open, tmp_path: Path) -> None:
    smiles = "\U0001f600" * 6
    texts: list[tuple[str, str | None]] = [
        (f"<think>Let {smiles} be.\n\n", None),
        (f"Nearly {smiles} done</think>The answer is \\(x^2\\).\n\n", None),
        (f"{smiles} and \\(y^2\\).", None),
    ]
    chain = unfold(show(write_run(tmp_path / "r", texts)))
    folds = chain.locator("details.thinking")
    assert folds.first.locator("summary").inner_text() == "thinking: 1 turns, 5 tokens"
    turn = chain.locator(":scope > .turn").first
    assert turn.locator(".piece > .text").inner_text().startswith("The answer is")
    turn.locator("details.thinking summary").click()
    assert turn.locator("details.thinking .text").inner_text() == f"Nearly {smiles} done</think>"
    assert chain.locator(":scope > .turn msup").count() == 2


def test_a_page_of_a_text_cuts_no_character_and_no_formula(show: Open, tmp_path: Path) -> None:
    smiles, formula = "a" + "\U0001f600" * 4000, "b" * 5995 + " \\(x^2+y^2\\) after"
    chain = unfold(show(write_run(tmp_path / "r", [(smiles, None), (formula, None)])))
    pieces = chain.locator(".piece .text")
    assert "\ufffd" not in pieces.first.inner_text()
    assert pieces.last.locator("math").count() == 1
    button = pieces.first.get_by_role("button")
    button.focus()
    button.press("Enter")
    # All of it is shown: the button is gone, and the focus is where it stood.
    assert pieces.first.get_by_role("button").count() == 0
    assert chain.page.evaluate("document.activeElement.textContent").endswith("\U0001f600")
    assert pieces.first.inner_text() == smiles


def test_show_more_keeps_the_focus(show: Open, tmp_path: Path) -> None:
    page = show(write_run(tmp_path / "r", [("one line\n" * 3000, None)]))
    button = unfold(page).get_by_role("button").last
    button.focus()
    for _ in range(2):
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.textContent").startswith("Show more")


def test_a_decision_and_its_sign_agree(show: Open, tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", [("One.\n\n", None), ("Two.\n\n", "So."), ("Three.", None)])
    path = run / "journal.jsonl"
    first, second, third, *rest = path.read_text().splitlines(keepends=True)
    first = first.replace('"p_value":0.75,"threshold":0.25', '"p_value":0.36341,"threshold":0.36339')
    second = second.replace('"p_value":0.125', '"p_value":0.25')
    third = third.replace('"score":0.5', '"score":NaN').replace('"p_value":0.75', '"p_value":1e999')
    path.write_text("".join([first, second, third, *rest]))
    chain = unfold(show(run))
    accepted, taken, broken = chain.locator(".facts").all_inner_texts()
    assert "accepted" in accepted and "p 0.36341 > threshold 0.36339" in accepted
    assert "target takes over" in taken and "p 0.25 ≤ threshold 0.25" in taken
    assert "score –" in broken and "p – against threshold 0.25" in broken


@pytest.mark.parametrize(
    ("strategy", "says"), [("specreason", "target takes over"), ("atts-self", "rejected"), ("target-only", "")]
)
def test_what_other_methods_took_over_is_said(strategy: str, says: str, show: Open, tmp_path: Path) -> None:
    run = execute(tmp_path / "r", strategy=strategy)
    loaded = load_run(run)
    page = show(run)
    chain = unfold(page)
    taken = sum(bool(taken_over(turn)) for turn in loaded.turns[loaded.problems[0].id, 0])
    assert f"{taken} taken over" in chain.locator("summary").first.inner_text()
    shown = chain.locator(".facts p").all_inner_texts()
    assert shown.count(says) == taken
    if strategy != "specreason":
        assert "target takes over" not in shown


def test_problems_whose_vote_was_decided_are_not_unfinished(show: Open, tmp_path: Path) -> None:
    run = execute(tmp_path / "r", samples=8, vote_stop="exact", chains=3)
    cancelled = load_run(run).summary["chains"]["cancelled"]
    assert cancelled > 0
    page = show(run)
    assert f"{cancelled} of 32 chains were cancelled: the vote is decided." in page.locator(".notices").inner_text()
    page.get_by_label("Show").select_option("unfinished")
    assert problems(page) == []


def test_hidden_characters_are_shown_and_piled_up_ones_stay_inside(show: Open, tmp_path: Path) -> None:
    hidden = "tags \U000e0041 soft \u00ad mongolian \u180e hangul \u115f end"
    piled = "Z" + "\u0301" * 400
    page = show(write_run(tmp_path / "r", [(hidden, None), (piled, None)], question=hidden + piled))
    chain = unfold(page)
    shown = chain.locator(".piece .text").first.inner_text()
    assert all(code in shown for code in ("U+E0041", "U+00AD", "U+180E", "U+115F"))
    assert "⟨U+E0041⟩" in page.locator(".question").inner_text()
    for place in (".question", ".statement", ".piece"):
        assert page.locator(place).last.evaluate("element => getComputedStyle(element).overflowY") == "clip"


def test_turns_behind_a_damaged_line_are_counted_in_their_chain(show: Open, tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", [("One.\n\n", None), ("Two.\n\n", None), ("Three.", None)])
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join([lines[0], b"{\n", *lines[2:]]))
    page = show(run)
    assert "1 further turn of 1 chain could not be used" in page.locator(".notices").first.inner_text()
    assert "1 further turn of this chain could not be used" in unfold(page).inner_text()


def test_a_phone_scrolls_tables_and_finds_every_figure(show: Open, finished: Path) -> None:
    page = show(finished, width=390)
    for fold in page.locator("details.figures > summary").all():
        fold.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    unfold(page)
    figures = page.locator(".viewer .narrow")
    assert figures.is_visible()
    assert all(word in figures.inner_text() for word in ("agree", "takeover", "tokens", "target", "time"))
    assert not show(finished).locator(".narrow").first.is_visible()


@pytest.mark.parametrize("width", [320, 400])
def test_a_phone_shows_the_figures_of_a_comparison_first(
    width: int, show: Open, finished: Path, tmp_path: Path
) -> None:
    other = execute(tmp_path / "another-run-with-a-name-that-fills-a-phone-by-itself")
    page = show(finished, other, width=width)
    cells = page.locator(".comparison td")
    assert cells.count() == 16
    for cell in cells.all():
        box = cell.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
    heads = [cell.get_attribute("data-head") for cell in cells.all()[:8]]
    assert (heads[:2], heads[-1]) == (["pass@1", "maj@k"], "strategy")
    shown = page.evaluate("getComputedStyle(document.querySelector('.comparison td'), '::before').content")
    assert "pass@1" in shown
    assert show(finished, other).locator(".comparison thead").is_visible()


HOSTILE = {
    "script": "<script>alert(1)</script><script src=http://192.0.2.1/x.js></script>",
    "closing": "</script></style></textarea></title><h1 id=owned>owned</h1><style>body{display:none}</style>",
    "handlers": "<img src=x onerror=alert(1)><svg onload=alert(1)><a href=javascript:alert(1)>x</a>",
    "template": "{{ 7*7 }} {% raw %} ${7*7} <!-- --> ]]> &lt;b&gt;",
    "mathematics": r"\(\text{</math><script>alert(1)</script>}\) \(\href{javascript:alert(1)}{x}\) \[\style{x:y}{z}\]",
    "direction": "safe \u202edetrevni\u202c \u2066isolated\u2069 \u200f \u0000 \u001b[31m \ud800",
    "line": "x" * (1 << 20),
}


def test_hostile_text_stays_text(show: Open, tmp_path: Path) -> None:
    texts = {kind: text.encode(errors="replace").decode() for kind, text in HOSTILE.items()}
    pairs: list[tuple[str, str | None]] = [(text, text) for text in texts.values()]
    page = show(write_run(tmp_path / "r", pairs, question="".join(texts.values())))
    elements = "document.querySelectorAll('script, style, img, h1, iframe').length"
    before = page.evaluate(elements)
    page.locator("button.open").click()
    page.locator(".chain > summary").click()
    page.locator(".piece.target").nth(len(texts) - 1).wait_for()
    assert page.locator(".piece.target").count() == len(texts)
    for fold in page.locator(".dropped summary").all():
        fold.click()
    assert page.evaluate(elements) == before
    assert page.locator("#owned, [onerror], [onload], [href^=javascript], .viewer [style]").count() == 0
    shown = dict(zip(texts, page.locator(".piece.target .text").all_inner_texts(), strict=True))
    for kind in ("script", "closing", "handlers", "template"):
        assert shown[kind] == texts[kind]
    assert "</math><script>" in shown["mathematics"]
    assert "U+202E" in shown["direction"] and "\u202e" not in page.locator("body").inner_text()
    assert "characters left" in shown["line"]
    more = page.locator(".piece.target button").last
    more.click()
    assert "characters left" in more.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_accessible(width: int, dark: bool, show: Open, finished: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = show(finished, finished, width=width, dark=dark)
    page.locator("button.open").first.click()
    page.locator(".chain > summary").first.click()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_run_with_an_empty_journal(show: Open, tmp_path: Path) -> None:
    run = execute(tmp_path / "r")
    (run / "journal.jsonl").write_bytes(b"")
    (run / "summary.json").unlink()
    page = show(run)
    assert "The run is empty" in page.locator(".notices").first.inner_text()
    page.locator("button.open").first.click()
    assert "No chain of this problem has begun." in page.locator(".viewer").first.inner_text()


def test_prints(show: Open, finished: Path, tmp_path: Path) -> None:
    page = show(finished)
    page.emulate_media(media="print")
    assert not page.locator(".filters").is_visible()
    assert page.pdf(path=tmp_path / "print.pdf")[:4] == b"%PDF"


def test_figures_are_those_of_the_summary(show: Open, finished: Path) -> None:
    page = show(finished)
    summary = json.loads((finished / "summary.json").read_text())
    cards = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))
    assert cards["pass@1"].startswith(f"{100 * summary['accuracy']['pass@1']['value']:.1f} %")
    assert cards["takeover rate"].startswith(f"{100 * summary['takeover']['rate']['value']:.1f} %")
