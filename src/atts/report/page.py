"""`atts report`: one HTML file that opens from the disk, without network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from atts import atomic
from atts.errors import InputError, needs_extra
from atts.report.figures import answer_seconds, plots
from atts.report.plots import Plot
from atts.report.texts import Blocks, blocks
from atts.results.loaded import LoadedRun
from atts.results.outline import by_ways, rate_line
from atts.runs.summary import standing, taken_over
from atts.store.journal import gaps
from atts.types import Chain, Problem, Status

PAGE_BUDGET = 9_500_000  # bytes of a page; texts take what the rest leaves
_WITHOUT_TEXTS, _ROW = 350_000, 1_500  # bytes of a run's section, and of each problem's row
# fmt: off
_UNSEEN = (
    (0x0, 0x8), (0xB, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160),
    (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)
# fmt: on
"""Characters that show nothing or change the order of others: controls, and what Unicode calls default ignorable."""
_HIDDEN = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSEEN) + "]")


@dataclass(frozen=True, slots=True)
class Row:
    """A problem in the table. `vote` is the answer with most votes, `share` its share of the samples that are done.

    `tied` says that another answer has as many votes; then there is no verdict.
    """

    index: int
    problem: Problem
    right: int
    graded: int
    vote: str | None
    share: float
    tied: bool
    correct: bool | None
    unfinished: int
    rate: float | None
    tokens: int
    target_tokens: int
    seconds: float | None

    @property
    def verdict(self) -> str:
        """What the vote came to: `right`, `wrong`, `tie`, or `none` where nothing could be graded."""
        return "tie" if self.tied else {True: "right", False: "wrong", None: "none"}[self.correct]

    @property
    def kinds(self) -> str:
        """What the filter finds it by."""
        vote = {"tie": "tied", "none": "ungraded"}.get(self.verdict, self.verdict)
        split = " split" if self.vote is not None and self.share <= 0.5 else ""
        return vote + split + (" unfinished" if self.unfinished else "")


@dataclass(frozen=True, slots=True)
class Section:
    """What the page shows of one run."""

    run: LoadedRun
    summary: Mapping[str, Any]
    plots: Sequence[Plot]
    rows: Sequence[Row]
    blocks: Blocks
    notices: Sequence[str]


def write_page(runs: Sequence[LoadedRun], out: Path, *, budget: int = PAGE_BUDGET) -> int:
    """Write the report of one or several runs; returns its size in bytes.

    Raises InputError where the extra `report` is not installed or the file cannot be written.
    """
    content = render(runs, budget=budget).encode(errors="replace")
    try:
        atomic.write(out, content)
    except OSError as error:
        raise InputError(f"{out}: cannot write there: {error.strerror or error}") from error
    return len(content)


def render(runs: Sequence[LoadedRun], *, budget: int = PAGE_BUDGET) -> str:
    """The page as text."""
    sections = [_section(run, budget // len(runs)) for run in runs]
    comparison, unparted = _comparison(runs)
    here = files("atts.report")
    script = (here / "page.js").read_text(encoding="utf-8").replace('"UNSEEN"', _script_pattern())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rendered: str = _template().render(
        sections=sections,
        comparison=comparison,
        unparted=unparted,
        style=_Safe((here / "page.css").read_text(encoding="utf-8")),
        script=_Safe(script),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'",
    )
    return rendered


class _Safe(str):
    """Text of this package, which goes into the page as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def _script_pattern() -> str:
    """The hidden characters as a regular expression of the page's script."""
    return "/[" + "".join(f"\\u{{{first:x}}}-\\u{{{last:x}}}" for first, last in _UNSEEN) + "]/gu"


def _template() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise needs_extra("reports need jinja2", "report") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("atts.report", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= FILTERS
    return environment.get_template("page.html.j2")


def _section(run: LoadedRun, budget: int) -> Section:
    found = blocks(run, max(0, budget - _WITHOUT_TEXTS - _ROW * len(run.problems)))
    return Section(run, run.summary, plots(run), _rows(run), found, _notices(run, found))


def _rows(run: LoadedRun) -> list[Row]:
    seconds = answer_seconds(run)
    return [_row(run, index, problem, seconds.get(problem.id)) for index, problem in enumerate(run.problems)]


def _row(run: LoadedRun, index: int, problem: Problem, seconds: float | None) -> Row:
    keys = [(problem.id, sample) for sample in range(run.config.samples)]
    done = [key for key in keys if (chain := run.chains.get(key)) is not None and chain.status is Status.DONE]
    verdicts = [run.verdicts[key] for key in done]
    votes = Counter(run.votes[key] for key in done if key in run.votes)
    ranked = votes.most_common(2)
    vote, count = ranked[0] if ranked else (None, 0)
    turns = [turn for key in keys for turn in run.turns.get(key, [])]
    taken = [taken for turn in turns if (taken := taken_over(turn)) is not None]
    kept = [piece for key in keys for turn in standing(run.turns.get(key, [])) for piece in turn.kept]
    voters = [key for key in done if run.votes.get(key) == vote]
    return Row(
        index=index,
        problem=problem,
        right=sum(verdict is True for verdict in verdicts),
        graded=sum(verdict is not None for verdict in verdicts),
        vote=run.chains[voters[0]].answer if vote is not None else None,
        share=count / len(done) if done else 0.0,
        tied=len(ranked) == 2 and ranked[1][1] == count,
        correct=run.verdicts[voters[0]] if vote is not None else False if done else None,
        unfinished=sum(_unfinished(run.chains.get(key)) for key in keys),
        rate=sum(taken) / len(taken) if taken else None,
        tokens=sum(len(piece.ids) for piece in kept),
        target_tokens=sum(len(piece.ids) for piece in kept if piece.author == "target"),
        seconds=seconds,
    )


def _unfinished(chain: Chain | None) -> bool:
    """Whether a chain is open or failed. One that was cancelled is not wanted any more."""
    return chain is None or chain.status is Status.ERROR


def _notices(run: LoadedRun, found: Blocks) -> list[str]:
    """What a reader must know before believing the figures."""
    chains = run.summary["chains"]
    ended = len(run.chains)
    said = []
    if not run.turns and not run.chains:
        said.append("The run is empty: its journal holds no turn yet.")
    elif ended < chains["wanted"]:
        said.append(
            f"The run is not finished: {ended} of {chains['wanted']} chains have ended. Accuracy and times of chains "
            "are of these; rates, tokens and engines count the turns of open chains too. The same command continues it."
        )
    if chains["error"]:
        reason, count = next(iter(run.summary["errors"].items()))
        said.append(
            f"{chains['error']} of {chains['wanted']} chains failed; they count as neither right nor wrong. "
            f"Why{'' if count == chains['error'] else f', most often ({count} times)'}: {shorten(reason, 300)}"
        )
    cancelled = Counter(chain.reason for chain in run.chains.values() if chain.status is Status.CANCELLED)
    for reason, count in cancelled.items():
        said.append(f"{count} of {chains['wanted']} chains were cancelled: {reason}.")
    said += gaps(run.damaged, run.unused)
    if len(run.sessions) > 1:
        said.append(
            f"The run was resumed: it was made in {len(run.sessions)} sessions; time between them does not count."
        )
    if found.limit is not None:
        said.append(
            f"To keep the page small, {found.left_out:,} characters of the chains are left out: the middle of every "
            f"piece longer than {found.limit:,} characters. The run folder holds everything."
        )
    return said + list(run.summary["warnings"])


def _comparison(runs: Sequence[LoadedRun]) -> tuple[Any, str | None]:
    """The runs beside each other, and a sentence on those that differ nowhere in what the table shows."""
    if len(runs) < 2:
        return None, None
    from atts.results.compare import compare, unparted

    found = compare(runs)
    return found, unparted(found, ["maj@k" if max(one.samples for one in found) > 1 else "pass@1"])


def visible(text: object) -> str:
    """Text with its control and direction characters spelled out, so that nothing changes order or hides."""
    return _HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", str(text))


def percent(share: float | None) -> str:
    """A share as per cent."""
    return "–" if share is None else f"{100 * share:.1f} %"


def seconds(value: float | None) -> str:
    """A duration."""
    if value is None:
        return "–"
    return f"{value:.3g} s" if value < 100 else f"{value / 60:.1f} min" if value < 6000 else f"{value / 3600:.1f} h"


def figure(value: float | None) -> str:
    """A number that may be large or small, as a reader would write it."""
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def shorten(text: str, length: int = 110) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else line[: length - 1] + "…"


FILTERS = {
    "visible": visible,
    "percent": percent,
    "seconds": seconds,
    "shorten": shorten,
    "figure": figure,
    "svg": _Safe,
    "count": lambda value: f"{value:,}",
    "rate": lambda summary: rate_line(summary["takeover"], summary["chains"]["done"]),
    "ways": by_ways,
    "signed": lambda value: "–" if value is None else f"{100 * value:+.1f} points",
}
