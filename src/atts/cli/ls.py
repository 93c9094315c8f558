"""`atts ls`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping

import click
from rich.table import Table

from atts.cli.streams import in_json
from atts.cli.tables import show
from atts.origins import attribute
from atts.registry import Registry, load_module

KINDS: Mapping[str, str] = {
    "datasets": "atts.problems.sources:SOURCES",
    "prompts": "atts.problems.prompts:PROMPTS",
    "answers": "atts.grading.extract:RULES",
    "graders": "atts.grading.graders:GRADERS",
    "strategies": "atts.pipeline.strategies:STRATEGIES",
    "engines": "atts.engines:SCHEMES",
    "calibrators": "atts.stats.calibrators:CALIBRATORS",
    "scores": "atts.stats.scores:SCORES",
    "presets": "atts.config.presets:PRESETS",
}
"""Every kind, and where its registry stands."""


def _lines(kind: str) -> dict[str, str]:
    registry = attribute(KINDS[kind])
    if isinstance(registry, Registry):
        return registry.lines()
    return {name: preset.describe for name, preset in registry.items()}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)), required=False)
@click.option("--from", "modules", multiple=True, metavar="MODULE", help="look into this module too; more than once")
@click.option("--json", "as_json", is_flag=True, help="print as JSON")
def ls(kind: str | None, modules: tuple[str, ...], as_json: bool) -> None:
    """List what there is to choose from: all kinds, or one.

    What installed packages bring stands beside what is built in, with where it is from. What a module's decorators
    register is listed with --from; the module may stand in the current folder.
    """
    for module in modules:
        load_module(module)
    found = {name: _lines(name) for name in KINDS if kind in (None, name)}
    if as_json:
        click.echo(in_json(found))
        return
    for name, entries in found.items():
        table = Table(title=name, title_justify="left", box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for entry, description in entries.items():
            table.add_row(entry, description)
        show(table)
        click.echo()
