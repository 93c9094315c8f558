"""`atts replay`: recorded scores through calibrators, without any model."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table

from atts import atomic
from atts.cli.options import config_options
from atts.cli.streams import in_json, is_standard_output
from atts.cli.tables import say, show
from atts.config.run import RunConfig
from atts.errors import InputError
from atts.stats.settings import OPTIONS

if TYPE_CHECKING:
    from atts.calibration.replay import Record, Replayed
    from atts.stats.calibrators import CalibrationScore
    from atts.stats.settings import CalibratorSettings

FILE = click.Path(path_type=Path)
COIN = "coin"


@click.command()
@click.argument("scores", type=FILE)
@click.option("--score", help="column of the score, or score of the run; columns ppl and perplexity are logged")
@click.option("--calibrator", "calibrators", multiple=True, metavar="NAME", help="atts ls calibrators; may be repeated")
@click.option("--takeover-rate", type=float, metavar="X", help="promised share of chunks that the target takes [0.2]")
@click.option("--budget", type=float, metavar="X", help="the same as takeovers among the samples of a problem")
@click.option("--alpha", type=float, metavar="X", help="the same in the paper's word: 1 - rate")
@click.option("--samples", type=click.IntRange(1), metavar="N", help="chains a problem [as recorded]")
@config_options(only={*OPTIONS, "calibrator_options"}, also={"by_turn": " /--all-turns"})
@click.option("--calibration", type=FILE, help="file with recorded scores to begin with [of a run: its own]")
@click.option("--order", help="recorded, merge, inflight:N or fifo:D,T [inflight:64; of a run: recorded]")
@click.option("--orders", type=click.IntRange(1), metavar="N", help="orders to average over [10; recorded: 1]")
@click.option("--seed", type=int, metavar="N", help="of the first order and its smoothing [0; of a run: the run's]")
@click.option("--decisions", type=FILE, help="write every decision of the first order to this CSV file")
@click.option("--plot", type=FILE, help="draw rates by turn, question and time into this file (.png, .svg, .pdf)")
@click.option("--json", "as_json", is_flag=True, help="print as JSON")
def replay(
    scores: Path,
    score: str | None,
    calibration: Path | None,
    order: str | None,
    orders: int | None,
    seed: int | None,
    decisions: Path | None,
    plot: Path | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Stream recorded SCORES (CSV, JSONL, Parquet or a run folder) through calibrators.

    Prints the realised against the promised takeover rate, and a coin of the same rate beside it. Of a run folder it
    says what would have been decided at another rate or by another calibrator, on the chunks that were written; it
    begins with the calibration file that the run began with, unless it is asked for another score.

    \b
        atts replay scores.csv --score ppl --calibrator tracked --takeover-rate 0.4
        atts replay scores.csv --score ppl --calibrator static --compat reference --calibration a.npy
        atts replay runs/mine --takeover-rate 0.2
    """
    from atts.calibration import replay as replays
    from atts.calibration.arrival import parse_order

    if decisions is not None and is_standard_output(decisions):
        raise InputError(f"--decisions {decisions}: standard output holds the table; name a file")
    if decisions is not None and decisions.resolve() == scores.resolve():
        raise InputError(f"--decisions {decisions}: the scores stand there; name another file")
    record = replays.read_record(scores, score)
    order = order or ("inflight:64" if record.config is None else "recorded")
    first = seed if seed is not None else record.config.seed if record.config else 0
    seeds = range(first, first + (orders or (1 if order == "recorded" else 10)))
    warm = _recorded_before(scores, record, calibration, score)
    arrival = parse_order(order)
    done = [
        replays.replay(record, settings, arrival, seeds, () if settings.name == COIN else warm)
        for settings in _all_settings(record, asked, warm)
    ]
    if decisions:
        asked_for = done if COIN in asked["calibrators"] else done[:-1]
        _write_decisions(decisions, record, asked_for or done)
    if plot:
        from atts.report.charts import draw_replay

        draw_replay(plot, done)
    if as_json:
        click.echo(in_json(_plain(record, done, order, seeds) | {"recorded_before": len(warm)}))
        return
    orders_text = f"order {order}" if len(seeds) == 1 else f"mean of {len(seeds)} orders {order}"
    say(f"{len(done[0].decisions[0]):,} decisions, promised rate {done[0].settings.rate:.3f}, {orders_text}")
    say(f"begun with {len(warm):,} scores recorded before\n" if warm else "")
    show(_overview(record, done))
    click.echo()
    show(_by_turn(done))
    if record.config is not None:
        say("\nOn the chunks as they were written: what other decisions would have made of them is not known.")


def _recorded_before(
    scores: Path, record: Record, calibration: Path | None, score: str | None
) -> Sequence[CalibrationScore]:
    """The scores to begin with; of a run those that it began with, and none that were recorded otherwise than it."""
    from atts.calibration.files import read_calibration, run_fingerprint
    from atts.calibration.replay import LOGGED, PERPLEXITIES
    from atts.store.folder import RunFolder

    run = record.config
    if run is None:
        return read_calibration(calibration, score).scores if calibration else ()
    wanted = LOGGED if score in PERPLEXITIES else score or run.score
    if calibration is None and run.calibration is not None and wanted == run.score:
        calibration = Path(run.calibration)
        if not calibration.exists():
            raise InputError(f"{scores} began with {calibration}, which is not there: say where with --calibration")
    if calibration is None:
        return ()
    recorded = read_calibration(calibration, wanted)
    recorded.require({**run_fingerprint(RunFolder.open(scores)), "score": wanted}, calibration)
    return recorded.scores


def _all_settings(
    record: Record, asked: Mapping[str, Any], warm: Sequence[CalibrationScore]
) -> list[CalibratorSettings]:
    """The settings of every calibrator that was asked for (of a run: its own, unless asked otherwise), and a coin's."""
    from atts.stats.calibrators import CALIBRATORS, refuse_unused, resolve_settings

    run = record.config
    if asked["samples"] is not None and asked["samples"] < record.samples:
        raise InputError(f"--samples {asked['samples']}: there are {record.samples} recorded of one problem")
    rates = {key: asked[key] for key in ("takeover_rate", "budget", "alpha")}
    if run is not None and all(value is None for value in rates.values()):
        rates["takeover_rate"] = run.rate
    common = rates | {
        "samples": asked["samples"] or (run.samples if run else record.samples),
        "hard_budget": _first(asked["hard_budget"], run and run.hard_budget, False),
    }
    given = asked["calibrators"] or [run.calibrator if run else "budgeted"]
    names = [name for name in dict.fromkeys(given) if name != COIN]
    for key in OPTIONS:
        if not any(key in CALIBRATORS[name].has for name in given):
            refuse_unused(given[0], {key: asked[key]})
    shared = {key: _of(run, asked, key) for key in OPTIONS if key != "hard_budget"}
    return [
        resolve_settings(
            calibrator=name,
            calibrated=bool(warm),
            **common | ({"hard_budget": False} if name == COIN else {}),
            own=_own_options(name, names, run, asked["calibrator_options"] or {}),
            **{key: value for key, value in shared.items() if _meant(key, name, names, asked)},
        )
        for name in (*names, COIN)
    ]


def _meant(key: str, name: str, names: Sequence[str], asked: Mapping[str, Any]) -> bool:
    """Whether an option is for this calibrator: it is one that it has, or one that was asked for and that none has,
    which is then refused.
    """
    from atts.stats.calibrators import CALIBRATORS
    from atts.stats.settings import OWN

    if key not in OWN or key in CALIBRATORS[name].has:
        return True
    return asked[key] is not None and not any(key in CALIBRATORS[other].has for other in names)


def _own_options(name: str, names: Sequence[str], run: RunConfig | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the options that this calibrator alone has: by its run, and by who asks.

    What none of the calibrators has is left to the first one, which refuses it.
    """
    from atts.stats.calibrators import own_options

    has = {other: own_options(other) for other in names}
    before = run.calibrator_options if run is not None and run.calibrator == name else {}
    unknown = {key for key in asked if not any(key in options for options in has.values())} if name in names[:1] else ()
    return before | {key: value for key, value in asked.items() if key in has.get(name, {}) or key in unknown}


def _of(run: RunConfig | None, asked: Mapping[str, Any], key: str) -> Any:
    """What was asked for; else what the run had; else the usual value."""
    usual = RunConfig.model_fields[key].default if run is None else getattr(run, key)
    return usual if asked[key] is None else asked[key]


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _overview(record: Record, done: Sequence[Replayed]) -> Table:
    from atts.stats.audit import noise_floor
    from atts.stats.control import round_limit

    settings = done[0].settings
    limit = round_limit(settings.rate, settings.samples, settings.slack)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column(no_wrap=True)
    for head in (*map(_label, done), NOISE):
        table.add_column(head, justify="right", no_wrap=True)
    found = [one.audit for one in done]
    noise = noise_floor(found[0], settings.samples, slack=settings.slack)
    for name, field in _FIGURES.items():
        values = [_fixed(getattr(one, field)) for one in found]
        table.add_row(name.format(limit=limit), *values, _fixed(noise[field]) if field in noise else "")
    if record.taken_over:
        table.add_row("decided as recorded", *(f"{100 * _agreement(record, one):.2f} %" for one in done))
    return table


_FIGURES = {
    "realised rate": "rate",
    "  95 % interval, from": "low",
    "  to (questions resampled)": "high",
    "worst turn, deviation": "worst_turn",
    "turns, RMS deviation": "turn_rms",
    "windows of 200, RMS": "window_rms",
    "  lowest window": "window_low",
    "  highest window": "window_high",
    "questions, RMS deviation": "question_rms",
    "  lowest question": "question_low",
    "  highest question": "question_high",
    "rounds with > {limit} takeovers": "overflow",
    "selectivity in turn": "selectivity",
    "selectivity in question": "question_selectivity",
}
"""Rows of the table: the words, and the field of `Audit`. A perfect choice has selectivity 0.5."""

NOISE = "coin's\nnoise"


def _by_turn(done: Sequence[Replayed]) -> Table:
    from atts.stats.audit import coin_floor

    rate = done[0].settings.rate
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for head in ("turn", "decisions", *map(_label, done), NOISE):
        table.add_column(head, justify="right", no_wrap=True)
    by_turn = [one.audit.by_turn for one in done]
    for rows in zip(*by_turn, strict=True):
        counts = [str(rows[0].turn), f"{rows[0].n:,}"]
        table.add_row(*counts, *(_fixed(row.rate) for row in rows), _fixed(coin_floor(rows[0].n, rate)))
    return table


def _label(one: Replayed) -> str:
    settings = one.settings
    marks = [
        "question" if settings.scope == "question" else "",
        "reference" if settings.compat == "reference" else "",
        "capped" if settings.hard_budget else "",
    ]
    return "\n".join([settings.name, *filter(None, marks)])


def _agreement(record: Record, one: Replayed) -> float:
    """The share of the first order's decisions that are as recorded."""
    before = record.taken_over
    same = [before[decision.chunk] == decision.rejected for decision in one.decisions[0]]
    return sum(same) / len(same)


def _fixed(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _plain(record: Record, done: Sequence[Replayed], order: str, seeds: range) -> dict[str, Any]:
    """The same as data: the mean audit of each calibrator, and the rate of every order."""
    from atts.stats.audit import noise_floor

    settings = done[0].settings
    return {
        "promised": settings.rate,
        "decisions": len(done[0].decisions[0]),
        "problems": record.problems,
        "samples": settings.samples,
        "order": order,
        "seeds": list(seeds),
        "noise_floor": noise_floor(done[0].audit, settings.samples, slack=settings.slack),
        "calibrators": [
            {
                "settings": asdict(one.settings),
                **one.audit.plain(),
                "rates": [found.rate for found in one.audits],
                "as_recorded": _agreement(record, one) if record.taken_over else None,
                "certificate": one.certificate,
            }
            for one in done
        ],
    }


def _write_decisions(path: Path, record: Record, done: Sequence[Replayed]) -> None:
    """Every decision of the first order, in the order of the record; `index` counts them as they were taken."""
    rows = {recorded.chunk: recorded.row for chain in record.chains for recorded in chain}
    head = ("problem", "sample", "turn", "score", "p", "threshold", "taken_over", "capped", "index", "calibrator")
    try:
        with atomic.whole(path) as out, TextIOWrapper(out, encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            for one in done:
                for d in sorted(one.decisions[0], key=lambda decision: rows[decision.chunk]):
                    chunk = (d.chunk.problem, d.chunk.sample, d.chunk.turn)
                    outcome = (int(d.rejected), int(d.capped), d.index, one.settings.name)
                    writer.writerow((*chunk, d.score, d.p_value, d.threshold, *outcome))
    except OSError as error:
        raise InputError(f"{path}: cannot write there: {error.strerror or error}") from error
