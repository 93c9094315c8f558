"""`atts check`: look at both engines before a run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from atts.cli.streams import in_json
from atts.cli.tables import show
from atts.config.run import RunConfig, resolve

if TYPE_CHECKING:
    from atts.engines.base import Engine
    from atts.runs.preflight import Report
    from atts.types import Role

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command(epilog="Exit status: 0 a run would work, 1 it would fail or be wrong, 2 bad input.")
@click.option("--config", "run_file", type=click.Path(path_type=Path), help="run file (TOML), as for atts run")
@click.option("--preset", help="named settings (atts ls presets)")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="set any key of a run")
@click.option("--strategy", help="look at the models that this method needs [atts: both]")
@click.option("--draft", help="draft engine, scheme:address [bundled:draft]")
@click.option("--target", help="target engine, scheme:address [bundled:target]")
@click.option("--draft-tokenizer", help="local tokenizer for a draft server that offers none")
@click.option("--target-tokenizer", help="the same for the target")
@click.option("--timeout", type=float, help="seconds until a request is given up [60]")
@click.option("--patience", type=float, help="seconds to wait for a server that is down [10]")
@click.option("--json", "as_json", is_flag=True, help="print the findings as JSON")
def check(
    run_file: Path | None, preset: str | None, assignments: tuple[str, ...], as_json: bool, **options: Any
) -> int:
    """Look at both engines before spending anything on them.

    Reachable? Token ids accepted? Log-probabilities returned, and those of the right tokens? Prefix cache used for
    scores? Stop strings and seeds heeded? Tokenizers equal? A run makes the same check first.

    \b
        atts check --draft sglang:http://127.0.0.1:30000 --target sglang:http://127.0.0.1:30001
    """
    # Whoever checks looks at a screen: the waits of a run would be too long.
    given = {"timeout": 60.0, "patience": 10.0} | {key: value for key, value in options.items() if value is not None}
    config = resolve(preset=preset, run_file=run_file, options=given, assignments=assignments)
    report = asyncio.run(_check(config, _engines(config)))
    if as_json:
        click.echo(in_json(report.plain()))
    else:
        show(table(report))
    return 0 if report.ok else 1


def _engines(config: RunConfig) -> dict[Role, Engine]:
    from atts.engines import open_engine
    from atts.pipeline.strategies import strategy_named

    roles = strategy_named(config.strategy, config.options).roles
    return {role: open_engine(getattr(config, role.value), config.engine_options(role)) for role in roles}


async def _check(config: RunConfig, engines: dict[Role, Engine]) -> Report:
    from atts.runs.preflight import check as examine

    try:
        return await examine(engines, config)
    finally:
        await asyncio.gather(*(engine.close() for engine in engines.values()))


def table(report: Report) -> Table:
    """All findings in one table."""
    title = "ready" if report.ok else "not ready: a run would fail or be wrong"
    shown = Table(title=title, title_justify="left")
    for column in ("engine", "looked at", "", "found"):
        shown.add_column(column, overflow="fold")
    for finding in report.findings:
        outcome = Text(finding.outcome, _STYLES[finding.outcome])
        shown.add_row(finding.role or "both", finding.name, outcome, finding.detail)
    return shown
