"""Run a test server: `python -m atts.testing sglang bundled:target --port 30000`."""

from __future__ import annotations

import asyncio
import signal

import click

from atts.engines import open_engine
from atts.errors import AttsError, InputError
from atts.registry import unknown
from atts.testing import DIALECTS, FAULTS, Faults, serve


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("dialect", type=click.Choice(list(DIALECTS)))
@click.argument("engine", default="bundled:target")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="default: one that is free")
@click.option("--faults", "rate", default=0.0, help="share of requests that are spoilt")
@click.option("--kinds", default=",".join(FAULTS), help=f"in which ways: {', '.join(FAULTS)}")
@click.option("--hang", default=3600.0, help="seconds that a hanging request hangs")
@click.option("--start-after", default=0.0, help="seconds of status 503 at first")
@click.option("--seed", default=0, help="seed of the faults")
def main(
    dialect: str, engine: str, host: str, port: int, rate: float, kinds: str, hang: float, start_after: float, seed: int
) -> None:
    """Serve ENGINE (bundled:draft, local:PATH, scripted:N) in the DIALECT of a real server, for trials and tests."""
    try:
        chosen = [kind.strip() for kind in kinds.split(",")]
        if strange := [kind for kind in chosen if kind not in FAULTS]:
            raise unknown("kind of fault", strange[0], FAULTS)
        faults = Faults(rate, chosen, seed=seed, hang=hang, start_after=start_after)
        asyncio.run(_serve(dialect, engine, host, port, faults))
    except InputError as error:
        raise click.UsageError(str(error)) from error
    except AttsError as error:
        raise click.ClickException(str(error)) from error


async def _serve(dialect: str, name: str, host: str, port: int, faults: Faults) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    engine = open_engine(name)
    try:
        await engine.info()  # loads the model, so that the first request need not wait for it
        async with serve(dialect, engine, faults=faults, host=host, port=port) as server:
            click.echo(f"{dialect}:{server.url}")
            await stopped.wait()
    finally:
        await engine.close()


if __name__ == "__main__":
    main()
