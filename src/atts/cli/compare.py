"""`atts compare`: accuracy against cost, paired by question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table

from atts.cli.notices import warn
from atts.cli.streams import in_json
from atts.cli.tables import say, show
from atts.results.outline import metrics, percent, seconds

if TYPE_CHECKING:
    from atts.results.compare import Compared
    from atts.stats.estimate import Estimate

_MOST_FLIPS = 12  # problems that are named in the table


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--plot", type=click.Path(path_type=Path), help="draw the frontier into this file (.png, .svg, .pdf)")
@click.option("--json", "as_json", is_flag=True, help="print as JSON")
def compare(runs: tuple[Path, ...], plot: Path | None, as_json: bool) -> None:
    """Put each RUN (a run folder) beside the first one.

    Differences are paired: over the questions that both runs answered, with 95 % intervals. A run is on the frontier
    if no other complete one of the same questions is as accurate for fewer target tokens.

    \b
        atts compare runs/target-only runs/draft-only runs/atts
        atts compare runs/a runs/b --json
    """
    from atts.results.compare import compare as compared
    from atts.results.compare import unparted
    from atts.results.loaded import load_run
    from atts.store.journal import gaps

    loaded = [load_run(path) for path in runs]
    for run in loaded:
        warn(run.path, gaps(run.damaged, run.unused))
    found = compared(loaded)
    if plot is not None:
        from atts.report.charts import draw_frontier

        draw_frontier(plot, found)
    if as_json:
        click.echo(in_json([one.plain() for one in found]))
        return
    show(_overview(found))
    if unranked := [one.name for one in found if one.group is None and len(found) > 1]:
        why = "no star, because not complete or no other complete run has the same questions"
        say(f"{why}: {', '.join(unranked)}")
    if len(found) > 1:
        click.echo()
        show(_differences(found))
        if sentence := unparted(found, _metrics(found)):
            say(sentence)


def _overview(found: Sequence[Compared]) -> Table:
    """A run a column would not fit; a run a row does."""
    shared = {one.data for one in found}
    data = f" on {found[0].data}" if len(shared) == 1 else ""
    accuracies = _metrics(found)
    table = _table(f"accuracy and cost{data}; * on the frontier of {accuracies[-1]} against target tokens")
    table.add_column("run", overflow="fold")
    for head in (*accuracies, "takeover", "target\ntokens", "draft\ntokens", "running", "a chain"):
        table.add_column(head, justify="right")
    for one in found:
        mark = " *" if one.best else ""
        state = "" if one.status == "complete" else f" ({one.status})"
        table.add_row(
            one.name + mark + state + ("" if data else f"\n{one.data}"),
            *(percent(_value(one.accuracy[metric])) for metric in accuracies),
            percent(one.rate),
            f"{one.target_tokens:,}",
            f"{one.draft_tokens:,}",
            seconds(one.running_s),
            seconds(one.chain_s),
        )
    return table


def _differences(found: Sequence[Compared]) -> Table:
    table = _table(f"against {found[0].name}: points, 95 % interval, paired by question")
    table.add_column("run", overflow="fold")
    accuracies = _metrics(found)
    for head in ("questions", *accuracies):
        table.add_column(head, justify="right")
    table.add_column("vote flipped", overflow="fold")
    for one in found[1:]:
        if one.difference is None:
            table.add_row(one.name, "0", *("–" for _ in accuracies), "no question in common")
            continue
        differences = one.difference.metrics
        flips = f"to right: {_names(one.difference.gained)}\nto wrong: {_names(one.difference.lost)}"
        questions = str(differences["maj@k"].questions)
        table.add_row(one.name, questions, *(_points(differences[metric]) for metric in accuracies), flips)
    return table


def _metrics(found: Sequence[Compared]) -> list[str]:
    """pass@1 and maj@k, which are one and the same where every run has one sample a problem."""
    return metrics(("pass@1", "maj@k"), max(one.samples for one in found))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))


def _names(names: Sequence[str]) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - _MOST_FLIPS} more" if len(names) > _MOST_FLIPS else ""
    return f"{len(names)} ({', '.join(names[:_MOST_FLIPS])}{rest})"


def _points(estimate: Estimate) -> str:
    found: dict[str, Any] = estimate.plain()
    if found["value"] is None:
        return "–"
    return f"{100 * found['value']:+.1f}\n{100 * found['low']:+.1f} to {100 * found['high']:+.1f}"


def _value(estimate: Estimate) -> float | None:
    value: float | None = estimate.plain()["value"]
    return value
