"""The real pipeline on simulated engines: the record is replayed, and the same plan gives the same journal."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atts.engines.simulated.hardware import Machine
from atts.engines.simulated.work import ChainShape, Recorded, TurnShape, Typical
from atts.errors import InputError
from atts.pipeline.chain import ChainState
from atts.pipeline.settings import ChainSettings, SlotSettings
from atts.pipeline.stages import Stages
from atts.pipeline.strategies import STRATEGIES
from atts.pipeline.strategies.atts import Atts
from atts.pipeline.strategies.base import options
from atts.pipeline.strategies.single import DraftOnly
from atts.planning.plan import Plan, simulate
from atts.seeds import uniform
from atts.types import Role, Turn

MACHINES = Machine.named("8b@h100"), Machine.named("32b@2xh100")


def recorded(problems: int = 4, samples: int = 4) -> Recorded:
    """Chains with every shape of an end: with a takeover, with an empty one, without."""

    def turn(problem: int, sample: int, number: int) -> TurnShape:
        draw = [int(300 * uniform(0, problem, sample, number, name)) for name in "dt"]
        taken = (problem + sample + number) % 3 == 0
        return TurnShape(1 + draw[0], 1 + draw[1] / 100, 0 if sample == 3 else draw[1], taken)

    shapes = [
        [ChainShape(tuple(turn(p, s, n) for n in range(1 + (p + s) % 4)), str(p)) for s in range(samples)]
        for p in range(problems)
    ]
    return Recorded(shapes, samples, fixed=True)


def plan(**changes: Any) -> Plan:
    return replace(Plan(recorded(), *MACHINES), **changes)


def journal_of(one: Plan, path: Path) -> list[dict[str, Any]]:
    simulate(one, path)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("changes", [{}, {"strategy": "lockstep"}, {"one_by_one": True, "one_queue": True}])
def test_every_schedule_does_the_work_of_the_record(tmp_path: Path, changes: dict[str, Any]) -> None:
    one = plan(**changes)
    turns: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for line in journal_of(one, tmp_path / "journal.jsonl"):
        if line["kind"] == "turn":
            turns[int(line["problem"]), line["sample"]].append(line)
        else:
            assert (line["status"], line["answer"]) == ("done", line["problem"])
    assert len(turns) == 16
    for (problem, sample), made in turns.items():
        shape = one.work.shape(problem, sample)
        assert len(made) == len(shape.turns)
        for turn, expected in zip(made, shape.turns, strict=True):
            assert turn["draft"]["usage"]["completion"] == expected.draft
            assert (turn["takeover"] is not None) == expected.taken
            if expected.taken:
                assert turn["takeover"]["usage"]["completion"] == expected.takeover
            last_and_accepted = turn is made[-1] and not expected.taken
            assert bool(turn["scores"]) != last_and_accepted
            assert last_and_accepted or turn["scores"]["perplexity"] == pytest.approx(expected.perplexity)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_plan_gives_the_same_journal_byte_for_byte(tmp_path: Path, strategy: str) -> None:
    one = Plan(Typical(count=5, samples=6, seed=2), *MACHINES, strategy=strategy)
    journals = []
    for number in range(2):
        simulate(one, tmp_path / f"{number}.jsonl")
        journals.append((tmp_path / f"{number}.jsonl").read_bytes())
    assert journals[0] == journals[1] != b""
    simulate(replace(one, work=Typical(count=5, samples=6, seed=3)), tmp_path / "other.jsonl")
    assert (tmp_path / "other.jsonl").read_bytes() != journals[0]


def test_barriers_cost_time_and_the_same_work_less_than_nothing() -> None:
    base = Plan(Typical(count=8, samples=8, fixed=True), *MACHINES)
    atts, lockstep = simulate(base), simulate(replace(base, strategy="lockstep"))
    barrier = simulate(replace(base, one_by_one=True))
    assert atts.makespan < lockstep.makespan < barrier.makespan
    written = [{role: load.written for role, load in one.loads.items()} for one in (atts, lockstep, barrier)]
    assert written[0] == written[1] == written[2]
    times = [one.summary["time"] for one in (atts, lockstep)]
    assert sum(stage["barrier"] for stage in times[1]["stages"].values()) > 0
    assert times[0]["intensity"] is None or times[0]["intensity"] > times[1]["intensity"]


def test_the_rate_is_that_of_the_calibrator_and_the_takeovers_move_the_share() -> None:
    base = Plan(Typical(count=12, samples=12), *MACHINES)
    shares = []
    for rate in (0.0, 0.4):
        summary = simulate(replace(base, rate=rate)).summary
        assert summary["status"] == "complete"
        assert summary["takeover"]["rate"]["value"] == pytest.approx(rate, abs=0.03)
        shares.append(summary["tokens"]["target_share"])
    assert shares == sorted(shares)
    assert shares[0] == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_method_comes_to_the_text_and_the_answers_of_the_record(tmp_path: Path, strategy: str) -> None:
    # No piece of the record is longer, and its chains were made by the paper's policy.
    settings = ChainSettings(draft_tokens=300, target_tokens=300, on_reject="continue", last_chunk="accept")
    one = plan(strategy=strategy, settings=settings)
    ended = [line for line in journal_of(one, tmp_path / "journal.jsonl") if line["kind"] == "chain"]
    assert all(line["status"] == "done" and line["answer"] == line["problem"] for line in ended)
    turns = [turn for shapes in recorded().chains for shape in shapes for turn in shape.turns]
    tokens = sum(turn.draft + (turn.takeover if turn.taken else 0) for turn in turns)
    assert simulate(one).summary["tokens"]["kept"] == tokens


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_budget_of_tokens_cuts_a_chain(strategy: str) -> None:
    work = Typical(count=1, samples=2, turns=90, spread=0.01, most=100)
    summary = simulate(Plan(work, *MACHINES, strategy=strategy, rate=0.2)).summary
    assert summary["chains"]["answered"] == 2
    assert summary["tokens"]["kept"] > 2 * 32768


def test_specreason_grades_every_step_and_writes_the_poor_ones_anew(tmp_path: Path) -> None:
    one = Plan(Typical(count=6, samples=6), *MACHINES, strategy="specreason", rate=0.3)
    work = one.own_work()
    turns = [line for line in journal_of(one, tmp_path / "journal.jsonl") if line["kind"] == "turn"]
    for turn in turns:
        shape = work.shape(int(turn["problem"]), turn["sample"]).turns[turn["turn"]]
        assert turn["scores"] == {"grade": 1.0 if shape.taken else 9.0}
        assert turn["replaced"] == (turn["takeover"] is not None) == shape.taken
        pieces = [piece for piece in (turn["draft"], turn["takeover"]) if piece is not None]
        assert {piece["usage"]["completion"] for piece in pieces} == {shape.draft}
        assert turn["scored"]["prompt"] > turn["draft"]["usage"]["prompt"] + shape.draft
    assert sum(turn["replaced"] for turn in turns) / len(turns) == pytest.approx(0.3, abs=0.1)


def test_speculative_thinking_peeks_behind_every_step_and_lets_the_target_begin_the_next(tmp_path: Path) -> None:
    one = Plan(Typical(count=6, samples=6), *MACHINES, strategy="speculative-thinking", rate=0.3)
    work = one.own_work()
    turns = [line for line in journal_of(one, tmp_path / "journal.jsonl") if line["kind"] == "turn"]
    assert any(turn["takeover"] for turn in turns)
    for turn in turns:
        steps = work.shape(int(turn["problem"]), turn["sample"]).turns
        if turn["turn"] == len(steps) - 1:
            assert turn["draft"]["finish"] == "end"
            assert not turn["dropped"]
            continue
        after = steps[turn["turn"] + 1]
        [peek] = turn["dropped"]
        assert peek["usage"]["completion"] == min(20, after.draft)
        assert (turn["takeover"] is not None) == after.taken
        assert not after.taken or turn["takeover"]["usage"]["completion"] == min(20, after.draft)


def test_atts_self_draws_again_what_it_rejects(tmp_path: Path) -> None:
    one = Plan(Typical(count=12, samples=12), *MACHINES, strategy="atts-self", rate=0.3)
    work = one.own_work()
    turns = [line for line in journal_of(one, tmp_path / "journal.jsonl") if line["kind"] == "turn"]
    for turn in turns:
        shape = work.shape(int(turn["problem"]), turn["sample"]).turns[turn["turn"]]
        assert turn["scores"]["perplexity"] == pytest.approx(shape.perplexity)
        lengths = [piece["usage"]["completion"] for piece in turn["dropped"]]
        assert set(lengths) <= {shape.draft}
        again = len(lengths) + turn["replaced"]
        assert (1 <= again <= 3) if turn["decision"]["rejected"] else not again
    assert sum(turn["decision"]["rejected"] for turn in turns) / len(turns) == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("strategy", ["draft-only", "target-only"])
def test_one_model_alone(strategy: str) -> None:
    outcome = simulate(plan(strategy=strategy))
    [role] = outcome.loads
    assert outcome.gpu_hours == pytest.approx(outcome.makespan * (1 if role is Role.DRAFT else 2) / 3600)


def test_replacing_drops_the_chunk_and_reads_only_what_stood(tmp_path: Path) -> None:
    settings = ChainSettings(on_reject="replace")
    one = Plan(Typical(count=4, samples=4), *MACHINES, rate=0.5, settings=settings)
    turns = [line for line in journal_of(one, tmp_path / "journal.jsonl") if line["kind"] == "turn"]
    replaced = [turn for turn in turns if turn["replaced"]]
    assert replaced
    assert all(turn["takeover"]["usage"]["prompt"] == turn["draft"]["usage"]["prompt"] for turn in replaced)


def test_a_decided_vote_ends_a_problem_and_leaves_its_majority(tmp_path: Path) -> None:
    lengths = [[int(1 + 400 * uniform(1, p, s, "length")) for s in range(8)] for p in range(6)]
    answers = [["a" if uniform(1, p, s, "answer") < 0.8 else "b" for s in range(8)] for p in range(6)]
    shapes = [
        [ChainShape((TurnShape(length, 1.5, 0),) * 3, answer) for length, answer in zip(*both, strict=True)]
        for both in zip(lengths, answers, strict=True)
    ]
    base = Plan(Recorded(shapes, 8), *MACHINES)
    stopped = replace(base, vote_stop="exact")
    voted: dict[str, list[str]] = defaultdict(list)
    cancelled = 0
    for line in journal_of(stopped, tmp_path / "journal.jsonl"):
        if line["kind"] == "chain" and line["status"] == "done":
            voted[line["problem"]].append(line["answer"])
        cancelled += line["kind"] == "chain" and line["status"] == "cancelled"
    assert cancelled > 0
    for problem, made in voted.items():
        assert Counter(made).most_common(1)[0][0] == Counter(answers[int(problem)]).most_common(1)[0][0]
    assert simulate(stopped).makespan <= simulate(base).makespan


def test_a_vote_among_typical_chains_is_decided_early() -> None:
    base = Plan(Typical(count=6, samples=8), *MACHINES)
    off, exact = (simulate(replace(base, vote_stop=stop)) for stop in ("off", "exact"))
    assert off.summary["chains"]["answered"] == 48
    assert off.summary["chains"]["cancelled"] == 0 < exact.summary["chains"]["cancelled"]
    assert exact.makespan <= off.makespan


def test_a_method_of_somebody_else_can_be_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by what it says of itself: with a budget of its own, which the plan lifts, and one that goes in turns."""

    @options
    class Bounded(DraftOnly):
        name = "bounded"
        budget = "most"
        most: int = 100

        async def turn(self, chain: ChainState, stages: Stages) -> Turn:
            turn = await super().turn(chain, stages)
            return replace(turn, ended="budget") if chain.tokens > self.most else turn

    @options
    class Renamed(Atts):
        name = "renamed"

    monkeypatch.setattr(STRATEGIES, "_registered", {})
    STRATEGIES.register("bounded")(Bounded)
    STRATEGIES.register("renamed")(Renamed)
    bounded = plan(strategy="bounded", work=Typical(count=3, samples=4))
    assert bounded.method.longest is not None and bounded.method.longest > 1 << 30
    summary = simulate(bounded).summary
    assert summary["chains"]["answered"] == 12 and summary["tokens"]["kept"] > 12 * 100
    journals = [journal_of(plan(strategy=name), tmp_path / name) for name in ("renamed", "atts")]
    assert journals[0] == journals[1]


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(InputError, match="there is no strategy 'no-such'"):
        simulate(plan(strategy="no-such"))
    silent = Recorded([[ChainShape((TurnShape(9, 1.5, 9),))]], 1)
    with pytest.raises(InputError, match="vote stop exact: these shapes have no answers"):
        simulate(plan(work=silent, vote_stop="exact"))
    with pytest.raises(InputError, match="keeps all samples of a problem open"):
        simulate(plan(strategy="lockstep", slots=SlotSettings(chains=2)))
