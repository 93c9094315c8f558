"""The figures of a run, from its turns and chains alone: what `summary.json` holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from atts.pipeline.stop import VoteRule
from atts.runs.intensity import Intensity
from atts.stats.arrays import Floats
from atts.stats.control import max_turn_deviation
from atts.stats.estimate import Bootstrap, Outcomes, accuracy, classes
from atts.types import Chain, EngineInfo, Key, Role, Status, Turn


class Tally:
    """Counts turns and chains as they end, in any order; memory grows with chains, not with tokens."""

    def __init__(self, problems: Sequence[str], rule: VoteRule) -> None:
        """`rule` says how many samples a problem has, which answers vote alike, and when a problem is over."""
        self.samples = samples = rule.samples
        self._rule = rule
        self._order = {problem: index for index, problem in enumerate(problems)}
        shape = (len(problems), samples)
        self._correct: Floats = np.full(shape, np.nan)
        self._turns = np.zeros(shape, dtype=np.int64)
        self._answers: list[list[str | None]] = [[None] * samples for _ in problems]
        self._decided = np.zeros((2, len(problems)))  # decisions and takeovers of each problem
        self._by_turn: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._last = [0, 0]  # of these, those on the last chunk of a chain
        self._reached: set[Key] = set()  # chains that were decided on
        self._tokens: Counter[str] = Counter()
        self._spans: dict[Role, list[tuple[float, float]]] = {role: [] for role in Role}
        self._intensity = Intensity()
        self._statuses: Counter[Status] = Counter()
        self._ended: dict[tuple[int, int], Chain] = {}

    def turn(self, turn: Turn) -> None:
        """Count a turn that stands."""
        if (taken := taken_over(turn)) is not None:
            row = self._by_turn[turn.turn]
            counts = (1, int(taken))
            self._reached.add((turn.problem, turn.sample))
            if turn.decision is not None and turn.decision.chunk.last:
                self._last = [self._last[0] + 1, self._last[1] + int(taken)]
            for place, count in enumerate(counts):
                row[place] += count
                self._decided[place, self._order[turn.problem]] += count
        for piece in turn.written:
            self._tokens[piece.author.value] += piece.usage.completion
            self._tokens["cached"] += piece.usage.cached
            self._spans[piece.author].append((piece.span.start, piece.span.end))
        if turn.scoring is not None:
            self._spans[Role.TARGET].append((turn.scoring.start, turn.scoring.end))
        self._intensity.turn(turn)
        if (turn.scores or turn.scored.prompt) and turn.draft is not None:
            self._tokens["scored"] += len(turn.draft.ids)
            self._tokens["cached"] += turn.scored.cached
            self._tokens["prefilled"] += turn.scored.prompt - turn.scored.cached
        if turn.replaced and turn.draft is not None:
            self._tokens["discarded"] += turn.draft.usage.completion
        self._tokens["discarded"] += sum(piece.usage.completion for piece in turn.dropped)
        if not turn.anew:  # a copy of what a sibling wrote counts there
            for piece in turn.kept:
                self._tokens[f"kept_{piece.author}"] += len(piece.ids)

    def pause(self) -> None:
        """What was counted so far belongs to an earlier session."""
        self._intensity.pause()

    def chain(self, chain: Chain, correct: bool | None) -> None:
        """Count a chain that has ended. One that failed or was cancelled has no verdict; it is never called wrong."""
        place = (self._order[chain.problem], chain.sample)
        self._intensity.leave(chain.problem, chain.sample)
        self._ended[place] = chain
        self._statuses[chain.status] += 1
        self._turns[place] = chain.turns
        if chain.status is Status.DONE:
            self._answers[place[0]][place[1]] = self._rule.voted(chain.answer)
            # A chain that ended without an answer is wrong; an answer that could not be graded is neither.
            self._correct[place] = 0.0 if chain.answer is None else np.nan if correct is None else float(correct)

    def agrees_with(self, summary: Mapping[str, Any]) -> bool:
        """Whether an earlier summary counts the same chains in the same way."""
        return summary.get("chains") == self._chain_counts() and summary.get("status") == self._status()

    def summary(
        self,
        *,
        strategy: str,
        data: str,
        wall: float,
        certificate: Mapping[str, Mapping[str, float]] | None,
        rate: float | None,
        engines: Mapping[Role, EngineInfo],
        warnings: Sequence[str] = (),
        loading: float = 0.0,
    ) -> dict[str, Any]:
        """The contract of `summary.json`; figures that do not exist are null. Times in seconds.

        `loading` is the part of the wall time before requests can be sent: models load, servers are looked at. `data`
        is what to call the problems; a subset's name says that it is one.
        """
        return {
            "schema": 1,
            "status": self._status(),
            "strategy": strategy,
            "data": data,
            "problems": len(self._order),
            "samples": self.samples,
            "chains": self._chain_counts(),
            "accuracy": self._accuracy(),
            "takeover": self._takeover(rate, certificate or {}) if self._by_turn or certificate is not None else None,
            "vote": {"stop": self._rule.stop, "error": self._rule.error if self._rule.stop == "statistical" else None},
            "tokens": self._token_counts(),
            "time": self._times(wall, loading),
            "engines": {
                role.value: {"engine": info.engine, "model": info.model, **info.details}
                for role, info in engines.items()
            },
            "errors": self._reasons(),
            "warnings": list(warnings),
        }

    def _chain_counts(self) -> dict[str, int]:
        return {
            "done": self._statuses[Status.DONE],
            "answered": sum(answer is not None for row in self._answers for answer in row),
            "error": self._statuses[Status.ERROR],
            "cancelled": self._statuses[Status.CANCELLED],
            "wanted": self._correct.size,
        }

    def _status(self) -> str:
        if sum(self._statuses.values()) < self._correct.size:
            return "partial"
        return "failed" if self._statuses[Status.ERROR] else "complete"

    def _accuracy(self) -> dict[str, Any]:
        table = Outcomes.of(self._correct, classes(self._answers), self._turns)
        found = accuracy(table)
        if self._rule.early:
            # The rest of a decided problem was not made: its majority is that among the samples that were.
            ended = Counter(row for row, _ in self._ended)
            whole = [[ended[row] == self.samples] for row in range(len(self._order))]
            found["maj@k"] = accuracy(replace(table, correct=np.where(whole, table.correct, np.nan)))["vote"]
        return {name: found[name].plain() for name in ("pass@1", "pass@k", "maj@k")}

    def _takeover(self, rate: float | None, certificate: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        decisions, taken = self._decided
        realised = Bootstrap(len(self._order)).ratio(taken, decisions).plain()
        return {
            "target_rate": rate,
            "rate": {name: realised[name] for name in ("value", "low", "high")},
            "decisions": int(decisions.sum()),
            "undecided_chains": self._undecided(),
            "last_chunks": {"n": self._last[0], "taken_over": self._last[1]},
            "by_turn": [
                {"turn": turn, "n": n, "rate": taken / n} for turn, (n, taken) in sorted(self._by_turn.items())
            ],
            "max_turn_deviation": max_turn_deviation(certificate),
            "certificate": certificate,
        }

    def _undecided(self) -> int:
        """Chains that came to their end without any decision."""
        done = (chain for chain in self._ended.values() if chain.status is Status.DONE)
        return sum((chain.problem, chain.sample) not in self._reached for chain in done)

    def _token_counts(self) -> dict[str, Any]:
        kept = {role: self._tokens[f"kept_{role}"] for role in Role}
        names = ("draft", "target", "scored", "discarded", "cached", "prefilled")
        counts = {name: self._tokens[name] for name in names}
        total = sum(kept.values())
        return counts | {"kept": total, "target_share": kept[Role.TARGET] / total if total else None}

    def _times(self, wall: float, loading: float) -> dict[str, Any]:
        chains = [chain.end - chain.start for chain in self._ended.values() if chain.status is Status.DONE]
        return {
            "wall_s": wall,
            "loading_s": loading,
            "running_s": wall - loading,
            "chain_s": _percentiles(chains),
            "answer_s": _percentiles(self._answer_times()),
            "draft_busy": _union(self._spans[Role.DRAFT]),
            "target_busy": _union(self._spans[Role.TARGET]),
            "waiting_s": self._intensity.queued,
            "intensity": self._intensity.ratio,
            "stages": self._intensity.plain(),
        }

    def _answer_times(self) -> list[float]:
        """For each problem whose samples have all ended, one with an answer at least, the time from its first chain's
        beginning to its answer."""
        ended = Counter(row for row, _ in self._ended)
        through = [row for row, count in ended.items() if count == self.samples]
        return [self._answer_time(row) for row in through if any(answer is not None for answer in self._answers[row])]

    def _answer_time(self, row: int) -> float:
        """Until the vote was decided; without vote stop, until the last chain had ended."""
        chains = [self._ended[row, sample] for sample in range(self.samples)]
        done = sorted((chain for chain in chains if chain.status is Status.DONE), key=lambda chain: chain.end)
        count = self._rule.decided_after(chain.answer for chain in done)
        end = done[count - 1].end if count else max(chain.end for chain in chains)
        return end - min(chain.start for chain in chains)

    def _reasons(self) -> dict[str, int]:
        """Why chains failed, the commonest reasons first."""
        reasons = Counter(chain.reason for chain in self._ended.values() if chain.status is Status.ERROR)
        return dict(reasons.most_common(10))


def taken_over(turn: Turn) -> bool | None:
    """Whether the target took the turn's chunk over; None where that was not in question."""
    if turn.decision is not None:
        return turn.decision.rejected
    looked_at = turn.scoring is not None or turn.scores or turn.dropped
    return turn.takeover is not None if looked_at else None


def standing(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns whose kept pieces are the chain: all from the last one that dropped everything before it."""
    start = max((place for place, turn in enumerate(turns) if turn.anew), default=0)
    return turns[start:]


def _percentiles(values: ArrayLike) -> dict[str, float | None]:
    array = np.asarray(values, dtype=float)
    names = {"p50": 50, "p99": 99}
    return {name: float(np.percentile(array, q)) if array.size else None for name, q in names.items()}


def _union(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds in which at least one of the spans was open."""
    total, reached = 0.0, -np.inf
    for start, end in sorted(spans):
        if end > reached:
            total += end - max(start, reached)
            reached = end
    return float(total)
