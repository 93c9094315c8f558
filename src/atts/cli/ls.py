"""`atts ls`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click
from rich.table import Table

from atts.cli.streams import in_json
from atts.cli.tables import screen


def _datasets() -> Mapping[str, str]:
    from atts.problems import SOURCES

    return {name: source.line for name, source in SOURCES.items()}


def _strategies() -> Mapping[str, str]:
    from atts.pipeline.strategies import STRATEGIES, option_defaults, strategies

    options = {name: option_defaults(strategy) for name, strategy in STRATEGIES.items()}
    listed = {name: ", ".join(f"{key}={value!r}" for key, value in of.items()) for name, of in options.items() if of}
    return {
        name: text + (f"; options: {listed[name]}" if name in listed else "") for name, text in strategies().items()
    }


def _engines() -> Mapping[str, str]:
    from atts.engines import schemes

    return schemes()


def _calibrators() -> Mapping[str, str]:
    from atts.stats.calibrators import CALIBRATORS, describe

    return {name: describe(name) for name in CALIBRATORS}


def _scores() -> Mapping[str, str]:
    from atts.stats.scores import SCORES

    return {name: score.description for name, score in SCORES.items()}


def _presets() -> Mapping[str, str]:
    from atts.config.presets import PRESETS

    return {name: preset.describe for name, preset in PRESETS.items()}


def _prompts() -> Mapping[str, str]:
    from atts.problems.prompts import PROMPTS

    return {name: prompt.describe for name, prompt in PROMPTS.items()}


def _answers() -> Mapping[str, str]:
    from atts.grading.extract import RULES

    return {name: rule.describe for name, rule in RULES.items()}


def _graders() -> Mapping[str, str]:
    from atts.grading.graders import GRADERS

    return {name: grader.describe for name, grader in GRADERS.items()}


KINDS: Mapping[str, Callable[[], Mapping[str, str]]] = {
    "datasets": _datasets,
    "prompts": _prompts,
    "answers": _answers,
    "graders": _graders,
    "strategies": _strategies,
    "engines": _engines,
    "calibrators": _calibrators,
    "scores": _scores,
    "presets": _presets,
}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)), required=False)
@click.option("--json", "as_json", is_flag=True, help="print as JSON")
def ls(kind: str | None, as_json: bool) -> None:
    """List what there is to choose from: all kinds, or one."""
    found = {name: dict(KINDS[name]()) for name in KINDS if kind in (None, name)}
    if as_json:
        click.echo(in_json(found))
        return
    console = screen()
    for name, entries in found.items():
        table = Table(title=name, title_justify="left", box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for entry, description in entries.items():
            table.add_row(entry, description)
        console.print(table)
        console.print()
