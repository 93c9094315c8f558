"""`atts grade`: extract and grade recorded answers again, without generating."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from atts import problems as datasets
from atts.cli.streams import in_json
from atts.cli.tables import say, screen, show
from atts.errors import InputError
from atts.grading import extract as answers
from atts.grading.graders import named
from atts.grading.judge import Judge, JudgeSettings
from atts.grading.regrade import (
    ByJudge,
    ByRule,
    Grading,
    Method,
    Recorded,
    begins_in_thinking,
    compare,
    figures,
    free_name,
    outcomes,
    path_of,
    read,
    save,
)
from atts.grading.regrade import grade as grade_again
from atts.grading.rules import Grader
from atts.grading.votes import weighted, weights
from atts.results.outline import UNSEEN, interval, metrics
from atts.results.reference_layout import ReferenceFolder
from atts.store.folder import RunFolder

_SHOWN = 20  # changed verdicts listed in the table; --json lists all
JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for; names as there."""

    run: Path
    answer: str | None
    pattern: str | None
    thinking: bool | None
    grader: str | None
    model: str | None
    base_url: str | None
    concurrency: int
    max_tokens: int
    problems: str | None
    split: str | None
    columns: str | None
    against: str | None
    name: str | None
    dry_run: bool
    as_json: bool

    @property
    def judges(self) -> bool:
        """Whether a language model is asked."""
        return JUDGE in (self.answer, self.grader)


@click.command(epilog="Each grading is a file of its own, RUN/gradings/NAME.jsonl; none is ever overwritten.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--answer", metavar="RULE", help="find answers again: boxed, choice, hashes, or judge [as recorded]")
@click.option("--pattern", metavar="REGEX", help="find answers by a regular expression: its last match")
@click.option("--thinking/--no-thinking", default=None, help="texts begin inside thinking [found out]")
@click.option("--grader", metavar="NAME", help="exact, numeric, choice, suited, math, or judge [the run's own]")
@click.option("--model", help="the judge's model, at OPENAI_BASE_URL with OPENAI_API_KEY")
@click.option("--base-url", help="the judge's server, instead of OPENAI_BASE_URL")
@click.option(
    "--concurrency", default=8, show_default=True, type=click.IntRange(1), help="requests to the judge at once"
)
@click.option(
    "--max-tokens",
    default=4096,
    show_default=True,
    type=click.IntRange(1),
    help="most tokens of a judge's reply, thinking included",
)
@click.option("--problems", metavar="SET|FILE", help="known answers, for a folder of the reference's problem_*.json")
@click.option("--split", help="split of that data set")
@click.option("--columns", help="columns of that file: question=…,answer=…,choices=…,id=…")
@click.option("--against", metavar="NAME", help="compare with that grading [the run's own verdicts]")
@click.option("--name", help="name of the grading [made of answer rule and grader]")
@click.option("--dry-run", is_flag=True, help="show what would change; write nothing, ask no judge")
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def grade(**options: Any) -> int:
    """Grade the chains of RUN again, with other rules or a judge, without generating.

    RUN is a run folder, or a folder of the reference's problem_*.json files.

    \b
        atts grade runs/first --grader math --dry-run
        atts grade runs/first --grader judge --model gpt-4.1-mini
        atts grade results/ --problems math500 --answer boxed
    """
    asked = Options(**options)
    plan = _plan(asked)
    before, after = asyncio.run(_grade(plan, _progress(asked)))
    written = None if asked.dry_run else save(plan.folder.path, after)
    report = _report(plan, before, after, str(written) if written else None)
    if asked.as_json:
        click.echo(in_json(report))
    else:
        _show(report)
    if plan.judge is not None and plan.judge.failed:
        click.echo(f"error: {plan.judge.failed} answers got no reply of the judge: {plan.judge.failure}", err=True)
        return 1
    return 0 if report["after"]["chains"] else 1


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is settled before the first chain is read, so that bad input is refused at once."""

    run: Path
    folder: Recorded
    data: str  # what to call the problems
    name: str
    how: Mapping[str, Any]
    method: Method
    grader: Grader
    own: Grader  # the run's, for the verdicts to compare with
    judge: Judge | None
    before: Grading | None


def _plan(asked: Options) -> Plan:
    folder, data, usual = _open(asked)
    rules = {"answer": asked.pattern or asked.answer or "recorded", "grader": asked.grader or usual}
    found = "pattern" if asked.pattern else asked.answer or "recorded"
    name = asked.name or free_name(folder.path, re.sub(r"[^\w.+-]", "_", f"{found}-{rules['grader']}", flags=re.ASCII))
    if path_of(folder.path, name).exists():
        raise InputError(f"{folder.path} has a grading {name!r} already; choose another --name")
    own = named(usual)
    grader = own if rules["grader"] in (usual, JUDGE) else named(rules["grader"])
    thinking = _thinking(folder, asked)
    extract = _extractor(asked, thinking)
    judge = _judge(asked)
    return Plan(
        run=asked.run,
        folder=folder,
        data=data,
        name=name,
        how=rules
        | {"thinking": thinking}
        | {"model": asked.model if judge else None, "server": judge.settings.server if judge else None},
        method=ByRule(grader, extract)
        if judge is None
        else ByJudge(
            judge,
            thinking=thinking,
            extract=extract,
            extracts=asked.answer == JUDGE,
            grader=None if asked.grader == JUDGE else grader,
        ),
        grader=grader,
        own=own,
        judge=judge,
        before=None if asked.against is None else read(folder.path, asked.against),
    )


async def _grade(plan: Plan, progress: Callable[[int], None]) -> tuple[Grading, Grading]:
    """The verdicts to compare with, and the new ones."""
    try:
        after = await grade_again(plan.folder, plan.method, name=plan.name, how=plan.how, progress=progress)
        recorded = ByRule(plan.own)
        return plan.before or await grade_again(plan.folder, recorded, name="recorded", how={}), after
    finally:
        for grader in (plan.grader, plan.own):
            await asyncio.to_thread(grader.close)
        if plan.judge is not None:
            await plan.judge.close()


def _open(asked: Options) -> tuple[Recorded, str, str]:
    """The folder, what to call its problems, and the grader that suits it."""
    run = RunFolder.exists(asked.run)
    if (asked.split or asked.columns) and (run or asked.problems is None):
        raise InputError("--split and --columns go with --problems, for a folder of the reference's files")
    if run:
        folder = RunFolder.open(asked.run)
        config = folder.config
        data = datasets.label(config.problems, split=config.split, subset=config.subset)
        return folder, data, config.grader or datasets.describe(config.problems).grader
    if not ReferenceFolder.exists(asked.run):
        raise InputError(f"{asked.run}: neither a run folder (run.json) nor results of the reference (problem_*.json)")
    if asked.problems is None:
        raise InputError(f"{asked.run}: these files hold no known answers; name their data set with --problems")
    columns = datasets.Columns.parse(asked.columns or "")
    reference = ReferenceFolder(asked.run, datasets.load(asked.problems, split=asked.split, columns=columns))
    if not any(problem.answer for problem in reference.problems()):
        raise InputError(f"{asked.run}: none of its questions is in {asked.problems}; name another --problems")
    # Its results come without a grader of their own: the one asked for shows what other answers change.
    own = asked.grader if asked.grader not in (None, JUDGE) else None
    data = datasets.label(asked.problems, split=asked.split)
    return reference, data, own or datasets.describe(asked.problems).grader


def _judge(asked: Options) -> Judge | None:
    if not asked.judges:
        return None
    if asked.model is None:
        raise InputError("a judge needs --model")
    settings = JudgeSettings.of(
        asked.model,
        base_url=asked.base_url,
        concurrency=asked.concurrency,
        max_tokens=asked.max_tokens,
        asking=not asked.dry_run,
    )
    return Judge(settings)


def _extractor(asked: Options, thinking: bool) -> answers.Extract | None:
    """The rule that finds answers again, or None where they stand as recorded or a judge finds them."""
    if asked.pattern is None and asked.answer in (None, JUDGE):
        return None
    return answers.extractor(asked.answer or "boxed", thinking=thinking, pattern=asked.pattern)


def _thinking(folder: Recorded, asked: Options) -> bool:
    if asked.thinking is not None or (asked.answer is None and asked.pattern is None):
        return bool(asked.thinking)
    return begins_in_thinking(folder.chains())


def _progress(asked: Options) -> Callable[[int], None]:
    console = screen(stderr=True)
    if asked.as_json or not console.is_terminal:
        return lambda done: None
    return lambda done: console.print(f"{done} chains graded", end="\r")


def _report(plan: Plan, before: Grading, after: Grading, written: str | None) -> dict[str, Any]:
    problems, key = plan.folder.problems(), plan.grader.key
    comparison = compare(problems, before, after, key)
    return {
        "run": str(plan.run),
        "data": plan.data,
        "grading": plan.name,
        "how": plan.how,
        "written": written,
        "before": figures(problems, before, key),
        "after": figures(problems, after, key),
        "votes": _votes(plan, after),
        "difference": comparison.difference.plain(),
        "alike": comparison.alike,
        "disagreements": comparison.disagreements,
        "changes": [{"before": asdict(change.before), "after": asdict(change.after)} for change in comparison.changes],
        "judge": _judge_counts(plan.judge) if plan.judge else None,
    }


def _judge_counts(judge: Judge) -> dict[str, int]:
    return {"requests": judge.requests, "cached": judge.cached, "failed": judge.failed}


def _votes(plan: Plan, after: Grading) -> dict[str, Any]:
    """The vote of all samples, weighted by what the run knows of each."""
    problems = plan.folder.problems()
    table = outcomes(problems, after, plan.grader.key)
    found = weighted(problems, table, weights(plan.folder.histories())) if after.verdicts else {}
    return {name: estimate.plain() for name, estimate in found.items()}


def _show(report: Mapping[str, Any]) -> None:
    show(_figures(report))
    if report["alike"]:
        say(f"change of pass@1: none on any question; {UNSEEN}")
    if report["changes"]:
        show(_changes(report["changes"]))
    for reason, count in report["after"]["reasons"].items():
        say(f"ungraded: {count} × {reason[:90]}")
    if (judge := report["judge"]) is not None:
        say(f"judge: {judge['requests']} requests, {judge['cached']} from cache")
    say(f"written: {report['written']}" if report["written"] else "nothing written (dry run)")


def _figures(report: Mapping[str, Any]) -> Table:
    before, after = report["before"], report["after"]
    title = f"grading {report['grading']} of {report['run']}: {report['data']}"
    table = Table(title=title, title_justify="left")
    for title in ("", "before", "after"):
        table.add_column(title)
    for metric in metrics(after["accuracy"], after["samples"]):
        pair = [interval(side["accuracy"][metric]) if side["accuracy"] else "–" for side in (before, after)]
        table.add_row(metric.replace("@k", f"@{after['samples']}"), *pair)
    for name, estimate in report["votes"].items():
        table.add_row(f"vote by {name}", "", interval(estimate))
    for count in ("chains", "answered", "correct", "ungraded"):
        table.add_row(count, f"{before[count]:,}", f"{after[count]:,}")
    table.add_row("change of pass@1", "", interval(report["difference"]))
    table.add_row("opposite verdicts", "", f"{report['disagreements']:,}")
    return table


def _changes(changes: list[dict[str, Any]]) -> Table:
    more = f" (first {_SHOWN} of {len(changes)}; --json has all)" if len(changes) > _SHOWN else ""
    table = Table(title=f"changed{more}", title_justify="left")
    for title in ("problem", "sample", "before", "after"):
        table.add_column(title, overflow="ellipsis", no_wrap=True, max_width=32)
    for change in changes[:_SHOWN]:
        after = change["after"]
        table.add_row(after["problem"], str(after["sample"]), _said(change["before"]), _said(after))
    return table


def _said(verdict: Mapping[str, Any]) -> str:
    word = {True: "right", False: "wrong", None: "ungraded"}[verdict["correct"]]
    answer = (verdict["answer"] or "–")[:40].encode(errors="replace").decode()  # half a character cannot be shown
    return f"{word}: {answer}"
