"""`atts calibrate`: record scores before a run, and describe what was recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table

from atts.cli.options import config_options
from atts.cli.streams import in_json
from atts.cli.tables import show
from atts.config.run import RunConfig, resolve
from atts.errors import InputError, RunError
from atts.types import Role

if TYPE_CHECKING:
    from atts.calibration.files import Calibration
    from atts.stats.calibrators import CalibrationScore

FILE = click.Path(path_type=Path)
QUARTILES = ("lower_quartile", "median", "upper_quartile")
FIXED = frozenset({"problems", "strategy", "calibrator", "calibrator_options", "calibration", "scope", "hard_budget"})


@click.command()
@click.argument("problems", required=False)
@click.option("--out", type=FILE, help="calibration file to write (.json); the run is kept beside it")
@click.option("--from", "recorded", type=FILE, help="take the scores from a .npy of the reference, a table or a run")
@click.option("--describe", type=FILE, help="only say what is in this file")
@click.option("--config", "run_file", type=FILE, help="run file (TOML) with the same keys")
@click.option("--preset", help="named settings under the run file and the options (atts ls presets)")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="set any key; wins over everything")
@click.option("--json", "as_json", is_flag=True, help="print the description as JSON")
@click.option("--quiet", is_flag=True, help="no progress")
@config_options(without=FIXED)
def calibrate(
    problems: str | None,
    out: Path | None,
    recorded: Path | None,
    describe: Path | None,
    run_file: Path | None,
    preset: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Record the scores of PROBLEMS (default: bundled) and write them, with a fingerprint, to a calibration file.

    The problems come from the split named calibration where the data set has one, so that they are none of a test's.
    Chains are made as in a run, a coin deciding on takeovers at the rate that the run will have, so that later turns
    are like those of the run. With --turns 1 only first chunks are recorded, as the reference does. For a threshold by
    question (static with scope = question) record the run's own problems: --split test.

    With --from, a run or a calibration file says itself what it was recorded with; of a table or a .npy the models and
    settings given here are believed. Perplexities (.npy, columns ppl and perplexity) are logged.

    \b
        atts calibrate --out bundled.json
        atts calibrate math500 --limit 100 --draft sglang:… --target sglang:… --out math500.json
        atts calibrate --from ppl_array.npy --draft sglang:… --target sglang:… --out math500.json
        atts calibrate --describe math500.json
    """
    from atts.calibration.files import read_calibration, write_calibration
    from atts.stats.scores import SCORES

    if describe is not None:
        calibration = read_calibration(describe, options["score"])
    else:
        if out is None or out.suffix != ".json":
            raise InputError(f"--out {out or ''}: name the calibration file to write, ending in .json")
        config = resolve(
            preset=preset, run_file=run_file, options={"problems": problems, **options}, assignments=assignments
        )
        SCORES[config.score]  # or InputError, before anything is read or run
        if recorded is not None:
            calibration = asyncio.run(_adopt(config, recorded))
            write_calibration(out, calibration)
        else:
            calibration = record(config, out, quiet=quiet)
    described = _plain(calibration)
    if as_json:
        click.echo(in_json(described))
    else:
        _show(described, str(describe or out))


def record(config: RunConfig, out: Path, *, quiet: bool) -> Calibration:
    """Record the scores of a run like this one on its calibration split, and write the file. Resumable, like a run."""
    from atts.calibration.files import write_calibration

    calibration = _record(_for_calibration(config), out.with_suffix(".run"), quiet=quiet)
    write_calibration(out, calibration)
    return calibration


def _for_calibration(config: RunConfig) -> RunConfig:
    """The same run on the calibration split, decided by a coin."""
    from atts.pipeline.strategies import STRATEGIES
    from atts.pipeline.strategies.atts import Atts
    from atts.problems import describe

    split = config.split
    if split is None and "calibration" in describe(config.problems).splits:
        split = "calibration"
    changes = {"strategy": "atts", "calibrator": "coin", "calibration": None, "scope": "run", "hard_budget": False}
    turns = Atts.turns if config.turns == STRATEGIES[config.strategy].turns else config.turns
    return config.model_copy(update={**changes, "split": split, "options": {}, "turns": turns})


def _record(config: RunConfig, path: Path, *, quiet: bool) -> Calibration:
    """Run, or go on with the run, and take its scores. Raises RunError if it did not get to its end."""
    from atts.calibration.files import read_calibration
    from atts.cli.run import carry_out

    folder, summary = carry_out(config, path, quiet=quiet)
    if summary["status"] == "partial":
        raise RunError(f"{path} is not complete: no calibration file was written")
    return read_calibration(folder.path, config.score)


async def _adopt(config: RunConfig, recorded: Path) -> Calibration:
    """Scores that were recorded elsewhere. Where they do not say what they were recorded with, the models and settings
    named here are believed.
    """
    from atts.calibration.files import Calibration, model_fingerprint, read_calibration, settings_fingerprint
    from atts.engines import open_engine

    calibration = await asyncio.to_thread(read_calibration, recorded, config.score)
    if calibration.fingerprint:
        calibration.require({"score": config.score}, recorded)
        if not calibration.fingerprint.keys() & set(Role):
            raise InputError(f"{recorded}: it does not say which models made it; let the run come to its end")
        return calibration
    scores = await asyncio.to_thread(_named, calibration.scores, config, recorded)
    engines = {role: open_engine(getattr(config, role.value), config.engine_options(role)) for role in Role}
    try:
        infos = {role: await engine.info() for role, engine in engines.items()}
    finally:
        await asyncio.gather(*(engine.close() for engine in engines.values()))
    return Calibration(scores, {**model_fingerprint(infos), **settings_fingerprint(config)})


def _named(scores: Sequence[CalibrationScore], config: RunConfig, recorded: Path) -> Sequence[CalibrationScore]:
    """The scores by the names of their problems, which the reference's file by question counts in the run's order."""
    from atts.calibration.files import by_question, in_order_of
    from atts.runs.setup import load_problems

    if recorded.suffix != ".npy" or not by_question(recorded):
        return scores
    return in_order_of(load_problems(config), scores, recorded)


def _plain(calibration: Calibration) -> dict[str, Any]:
    """What is in the file: how many scores of how many problems, by turn with quartiles, and the fingerprint."""
    import numpy as np

    by_turn: dict[int, list[float]] = {}
    for score in calibration.scores:
        by_turn.setdefault(score.turn, []).append(score.score)
    turns = [
        {
            "turn": turn,
            "n": len(values),
            **dict(zip(QUARTILES, np.quantile(values, (0.25, 0.5, 0.75)).tolist(), strict=True)),
        }
        for turn, values in sorted(by_turn.items())
    ]
    problems = len({score.problem for score in calibration.scores})
    return {
        "scores": len(calibration.scores),
        "problems": problems,
        "by_turn": turns,
        "fingerprint": dict(calibration.fingerprint),
    }


def _show(described: Mapping[str, Any], title: str) -> None:
    heading = f"{title}: {described['scores']:,} scores of {described['problems']:,} problems"
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for head in ("turn", "scores", *(name.replace("_", " ") for name in QUARTILES)):
        table.add_column(head, justify="right")
    for row in described["by_turn"]:
        table.add_row(str(row["turn"]), f"{row['n']:,}", *(f"{row[name]:.3g}" for name in QUARTILES))
    show(table)
    origin = Table(title="recorded with", title_justify="left", box=None, show_header=False, pad_edge=False)
    for key, value in described["fingerprint"].items():
        origin.add_row(key, str(value))
    click.echo("" if described["fingerprint"] else "\nrecorded with: not known")
    if described["fingerprint"]:
        show(origin)
