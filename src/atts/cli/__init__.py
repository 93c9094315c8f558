"""The command line: one file a command, loaded when it is called."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

import atts
from atts.cli import streams
from atts.errors import AttsError, InputError

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("atts.cli.run:run", "Solve problems by asynchronous test-time scaling: the main job."),
    "check": ("atts.cli.check:check", "Look at both engines before spending anything on them."),
    "launch": ("atts.cli.launch:launch", "Start, await and stop the two model servers (SGLang or vLLM)."),
    "plan": ("atts.cli.plan:plan", "Simulate a run on given GPUs: time, cost and target share, before paying for it."),
    "suite": ("atts.cli.suite:suite", "Carry out many runs from one file, with the servers that they need."),
    "calibrate": ("atts.cli.calibrate:calibrate", "Record scores before a run, with what they were recorded with."),
    "replay": ("atts.cli.replay:replay", "Stream recorded scores through calibrators: realised against promised rate."),
    "grade": ("atts.cli.grade:grade", "Extract and grade answers again, by rules or a judge, without generating."),
    "compare": ("atts.cli.compare:compare", "Runs beside each other: accuracy against cost, paired by question."),
    "report": ("atts.cli.report:report", "One self-contained HTML page of a run, or a timeline for Perfetto."),
    "export": ("atts.cli.export:export", "Write results as CSV, Parquet, or in the layout of the paper's code."),
    "ls": ("atts.cli.ls:ls", "List data sets, strategies, engines, calibrators, scores and presets."),
}
"""Where each command stands, and its line in the overview (known without loading it)."""


class _Commands(click.Group):
    """Commands by name from `COMMANDS`; nothing heavy is imported for `--help`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from atts.registry import unknown

            raise unknown("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command has --help. Exit status: 0 done, 1 ran and failed, 2 bad input.",
)
@click.version_option(atts.__version__, package_name="atts-llm", message="atts %(version)s")
def cli() -> None:
    """Asynchronous test-time scaling of LLM reasoning: a small model drafts, a large one scores and takes over."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 ran and failed, 2 bad input, each failure in one line."""
    streams.show_anything()
    status = 1
    try:
        status = _status(arguments)
        streams.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        status = status or 1
        streams.abandon()
    except OSError as error:  # a disk, a file or a terminal that is not as it should be; no fault of the program
        status = _fail(f"{error.filename or 'standard output'}: {error.strerror or error}", _status_of(error))
        streams.abandon()
    sys.exit(status)


def _status(arguments: Sequence[str] | None) -> int:
    """Run the command line; the exit status. Raises `OSError` where what it prints cannot be written."""
    try:
        status = cli.main(args=arguments, prog_name="atts", standalone_mode=False)
    except InputError as error:
        return _fail(str(error), 2)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = f" (see {context.command_path} --help)" if context is not None else ""
        return _fail(error.format_message() + where, 2)
    except AttsError as error:
        return _fail(str(error), 1)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _fail("interrupted", 1)
    return status if isinstance(status, int) else 0


def _status_of(error: OSError) -> int:
    """2 where another name would help; 1 where the machine has to be seen to."""
    by_name = (errno.ENOENT, errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP)
    return 2 if error.filename is not None and error.errno in (*by_name, errno.EROFS) else 1


def _fail(message: str, status: int) -> int:
    with suppress(OSError):  # the status says it too
        click.echo(f"error: {' '.join(message.split())}", err=True)
    return status
