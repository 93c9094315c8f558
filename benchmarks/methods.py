"""Every method on the same pair of models, problems and slots: accuracy, tokens by author, takeovers, time.

    python benchmarks/methods.py [--problems 50] [--samples 16] [--rate 0.3] [--out FOLDER] [--json]

The bundled pair shows accuracy and tokens, not speed: on a CPU its two models cost nearly the same. `way` is how far a
method gets from the draft's pass@1 (0 %) to the target's (100 %), `r` computing over waiting (`atts.runs.intensity`).
Intervals are 95 %, their unit is the problem. The second table replays the votes of the finished runs: what a vote stop
would have answered, and what it would have saved.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from atts.pipeline.stop import VoteRule
from atts.pipeline.vote import VoteStop
from atts.results.loaded import LoadedRun
from atts.stats.arrays import Floats
from atts.stats.estimate import Bootstrap, passes
from atts.types import Chain, Status
from runs import arguments, configuration, folder_of, made, screen

METHODS: Mapping[str, Mapping[str, Any]] = {
    "draft-only": {"strategy": "draft-only"},
    "target-only": {"strategy": "target-only"},
    "coin": {"strategy": "coin"},
    "atts": {"strategy": "atts"},
    "atts, by turn": {"strategy": "atts", "by_turn": True, "gain": 1.0},
    "atts, aci": {"strategy": "atts", "calibrator": "aci"},
    "atts, continue": {"strategy": "atts", "on_reject": "continue"},
    "atts, vote stop": {"strategy": "atts", "vote_stop": "exact"},
    "lockstep": {"strategy": "lockstep"},
    "specreason": {"strategy": "specreason"},
    "speculative-thinking": {"strategy": "speculative-thinking"},
    "atts-self": {"strategy": "atts-self"},
    "atts-self, fork": {"strategy": "atts-self", "options": {"remedy": "fork"}},
}
"""What is compared, by name: keys of the configuration, beside those that all have in common."""


@dataclass(frozen=True)
class Saving:
    """What a vote stop makes of a finished run: problems with the same answer, and the shares saved."""

    method: str
    stop: VoteStop
    problems: int
    same: int
    chains_saved: float
    tokens_saved: float
    answer_times_shorter: float


def main(given: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit status."""
    parser = arguments(__doc__)
    parser.add_argument("--rate", type=float, default=0.3, help="takeover rate of the methods that promise one")
    parser.add_argument("--only", help="methods, separated by semicolons")
    options = parser.parse_args(given)
    names = [name.strip() for name in options.only.split(";")] if options.only else list(METHODS)
    if unknown := [name for name in names if name not in METHODS]:
        parser.error(f"unknown methods {', '.join(unknown)}; known: {'; '.join(METHODS)}")
    with folder_of(options) as folder:
        runs = {name: _made(name, options, folder) for name in names}
        rows = [_row(name, run, runs) for name, run in runs.items()]
        savings = [
            saving
            for name, run in runs.items()
            if run.config.vote_stop == "off"
            for saving in (_saving(name, run, "exact"), _saving(name, run, "statistical"))
        ]
    if options.json:
        print(json.dumps({"rows": rows, "vote_stop": [asdict(saving) for saving in savings]}, indent=2))
        return 0
    console = screen()
    console.print(_table(rows, options))
    console.print(_savings_table(savings))
    return 0


def _made(name: str, options: argparse.Namespace, folder: Path) -> LoadedRun:
    config = configuration(options, takeover_rate=options.rate, **METHODS[name])
    return made(config, folder / name.replace(", ", "-").replace(" ", "-"))


def _row(name: str, run: LoadedRun, runs: Mapping[str, LoadedRun]) -> dict[str, Any]:
    summary = run.summary
    tokens, time, takeover = summary["tokens"], summary["time"], summary["takeover"]
    return {
        "method": name,
        "status": summary["status"],
        "accuracy": summary["accuracy"],
        "way": _way(run, runs),
        "takeover_rate": takeover["rate"] if takeover else None,
        "promised_rate": takeover["target_rate"] if takeover else None,
        "tokens": tokens,
        "time": time,
        "over_coin": _difference(run, runs.get("coin")),
    }


def _way(run: LoadedRun, runs: Mapping[str, LoadedRun]) -> float | None:
    """How far from the draft's pass@1 to the target's."""
    if not {"draft-only", "target-only"} <= runs.keys():
        return None
    low, high, mine = (_pass_at_1(one).mean() for one in (runs["draft-only"], runs["target-only"], run))
    return float((mine - low) / (high - low)) if high != low else None


def _difference(run: LoadedRun, other: LoadedRun | None) -> dict[str, Any] | None:
    """pass@1 less the other's, paired by problem."""
    if other is None or other is run:
        return None
    return Bootstrap(len(run.problems)).difference(_pass_at_1(run), _pass_at_1(other)).plain()


def _pass_at_1(run: LoadedRun) -> Floats:
    return passes(run.outcomes)[:, 0]


def _saving(name: str, run: LoadedRun, stop: VoteStop) -> Saving:
    """Stop each problem's vote where it is decided, with its chains in the order in which they really ended."""
    same = chains_saved = tokens_saved = tokens = 0
    times: list[tuple[float, float]] = []
    for problem in run.problems:
        chains = [run.chains[problem.id, sample] for sample in range(run.config.samples)]
        done = sorted((chain for chain in chains if chain.status is Status.DONE), key=lambda chain: chain.end)
        votes = [run.votes.get((chain.problem, chain.sample)) for chain in done]
        count = VoteRule(run.config.samples, stop).decided_after(votes) or len(done)
        same += count == len(votes) or _winners(votes[:count]) == _winners(votes)
        chains_saved += len(done) - count
        began, decided = min(chain.start for chain in chains), done[count - 1].end
        times.append((decided - began, done[-1].end - began))
        wanted = [_tokens(run, chain, decided) for chain in chains]
        tokens_saved += sum(late for late, _ in wanted)
        tokens += sum(whole for _, whole in wanted)
    stopped, whole_time = np.mean(times, axis=0)
    return Saving(
        name,
        stop,
        len(run.problems),
        same,
        chains_saved / len(run.chains),
        tokens_saved / tokens,
        float(whole_time / stopped),
    )


def _winners(votes: Sequence[str | None]) -> set[str]:
    counts = Counter(vote for vote in votes if vote is not None)
    return {answer for answer, count in counts.items() if count == max(counts.values())}


def _tokens(run: LoadedRun, chain: Chain, after: float) -> tuple[int, int]:
    """Tokens that were begun after that moment, and all tokens, of either author."""
    written = [piece for turn in run.turns[chain.problem, chain.sample] for piece in turn.written]
    late = sum(piece.usage.completion for piece in written if piece.span.start >= after)
    return late, sum(piece.usage.completion for piece in written)


def _table(rows: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> Table:
    title = (
        f"{options.problems} problems × {options.samples} samples, rate {options.rate:g}; accuracy and takeovers in %"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in ("pass@1", "way", "majority", "taken", "draft k", "target k", "wall s", "r"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        tokens, time = row["tokens"], row["time"]
        table.add_row(
            row["method"],
            _interval(row["accuracy"]["pass@1"]),
            "–" if row["way"] is None else f"{100 * row['way']:.0f}",
            _interval(row["accuracy"]["maj@k"]),
            "–" if row["takeover_rate"] is None else f"{100 * row['takeover_rate']['value']:.0f}",
            f"{tokens['draft'] / 1000:.1f}",
            f"{tokens['target'] / 1000:.1f}",
            f"{time['wall_s']:.0f}",
            "–" if time["intensity"] is None else f"{min(time['intensity'], 999):.2g}",
        )
    return table


def _savings_table(savings: Sequence[Saving]) -> Table:
    title = "vote stop, replayed on the runs above (statistical: 5 % stated error)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in ("stop", "same answer", "chains saved", "tokens saved", "sooner"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in savings:
        table.add_row(
            one.method,
            one.stop,
            f"{one.same} of {one.problems}",
            f"{100 * one.chains_saved:.0f} %",
            f"{100 * one.tokens_saved:.0f} %",
            f"{one.answer_times_shorter:.2f} ×",
        )
    return table


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "–"
    return f"{100 * estimate['value']:.0f} ({100 * estimate['low']:.0f}–{100 * estimate['high']:.0f})"


if __name__ == "__main__":
    sys.exit(main())
