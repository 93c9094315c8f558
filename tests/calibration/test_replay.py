from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from atts.calibration.arrival import parse_order
from atts.calibration.replay import Record, decide_all, read_record, replay
from atts.errors import InputError
from atts.stats.calibrators import CalibrationScore, make_calibrator
from atts.stats.settings import CalibratorSettings
from atts.stats.synthetic import World, simulate

HEAD = "problem,sample,turn,ppl,chars,taken_over"


def table(path: Path, lines: Sequence[str], head: str = HEAD) -> Path:
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def synthetic(path: Path, seed: int = 0) -> Path:
    """A generated run as a table of perplexities, with the decisions that a tracked calibrator took."""
    decisions = simulate(World(questions=20, samples=8), make_calibrator(CalibratorSettings(samples=8)), seed)
    lines = [
        f"{d.chunk.problem},{d.chunk.sample},{d.chunk.turn},{math.exp(d.score or 0)!r},500,{int(d.rejected)}"
        for d in decisions
    ]
    return table(path, lines)


def test_perplexities_are_logged_and_chains_put_in_order(tmp_path: Path) -> None:
    record = read_record(table(tmp_path / "s.csv", ["q,0,1,2.0,900,1", "q,0,0,4.0,50,0", "q,1,0,1.0,50,1"]), "ppl")
    assert [[chunk.chunk.turn for chunk in chain] for chain in record.chains] == [[0, 1], [0]]
    first, second = record.chains[0]
    assert first.score == pytest.approx(math.log(4))
    assert (second.size, second.row, second.taken_over) == (900, 0, True)
    assert (record.samples, record.problems) == (2, 1)


def test_decisions_may_be_told_in_words(tmp_path: Path) -> None:
    lines = [f"q,{sample},0,2.0,900,{told}" for sample, told in enumerate(("True", "false", "1", "0.0"))]
    record = read_record(table(tmp_path / "s.csv", lines), "ppl")
    assert [chain[0].taken_over for chain in record.chains] == [True, False, True, False]


def test_a_turn_far_off_is_a_turn_like_any_other(tmp_path: Path) -> None:
    record = read_record(table(tmp_path / "s.csv", ["a,0,0,2.0,900,1", "a,1,99999999999,2.0,900,1"]), "ppl")
    done = replay(record, CalibratorSettings(samples=2), parse_order("recorded"), [0])
    assert [turn.turn for turn in done.audit.by_turn] == [0, 99999999999]


def test_only_a_last_chunk_can_be_short(tmp_path: Path) -> None:
    record = read_record(table(tmp_path / "s.csv", ["q,0,0,4.0,50,0", "q,0,1,2.0,99,1", "q,1,0,1.0,100,1"]), "ppl")
    assert [chunk.chunk.short for chain in record.chains for chunk in chain] == [False, True, False]


def test_other_columns_are_scores_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    rows = [{"question": "q", "sample": 0, "loss": -1.5}, {"question": "q", "sample": 1, "loss": None}]
    path.write_text("\n".join(map(json.dumps, rows)))
    record = read_record(path, "loss")
    assert [chain[0].score for chain in record.chains] == [-1.5, None]
    assert record.calibration() == [CalibrationScore("q", 0, -1.5)]


@pytest.mark.parametrize("value", ["", "nan", "inf", "0", "-1"])
def test_what_is_no_perplexity_is_no_score(tmp_path: Path, value: str) -> None:
    record = read_record(table(tmp_path / "s.csv", [f"q,0,0,{value},900,1"]), "ppl")
    assert record.chains[0][0].score is None


def test_parquet(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = {"problem": ["a", "a"], "sample": [0, 1], "turn": [0, 0], "score": [1.0, None]}
    parquet.write_table(arrow.table(rows), tmp_path / "s.parquet")
    assert [chain[0].score for chain in read_record(tmp_path / "s.parquet", "score").chains] == [1.0, None]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["q,0,0,abc,900,1"], "line 2: ppl is 'abc', not a number"),
        (["q,x,0,1.0,900,1"], "line 2: sample is 'x'"),
        (["q,0,-1,1.0,900,1"], "line 2: turn is '-1', not a whole number"),
        (["q,0,1e300,1.0,900,1"], "line 2: turn is '1e300', not a whole number"),
        (["q,0,0,1.0,900,maybe"], "line 2: taken_over is 'maybe', not a number"),
        (["q,0,0,1.0,900,1", "q,0,0,2.0,900,1"], "line 3: repeats"),
        (["q,0,0"], "line 2: 6 columns expected"),
        ([], "no scored chunks"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as raised:
        read_record(table(tmp_path / "s.csv", lines), "ppl")
    assert str(tmp_path) in str(raised.value)


def test_a_missing_column_is_named_once(tmp_path: Path) -> None:
    path = table(tmp_path / "s.csv", ["q,0,0,1.0,900,1"] * 50)
    with pytest.raises(InputError, match="line 2 and 49 more: no column 'loss'; it has problem") as raised:
        read_record(path, "loss")
    assert str(raised.value).count("no column") == 1
    with pytest.raises(InputError, match="--score"):
        read_record(path)


@pytest.mark.parametrize("order", ["recorded", "merge", "inflight:16", "fifo:4,2"])
def test_a_replay_decides_every_chunk_and_keeps_the_rate(tmp_path: Path, order: str) -> None:
    record = read_record(synthetic(tmp_path / "s.csv"), "ppl")
    done = replay(record, CalibratorSettings(samples=8, rate=0.4), parse_order(order), range(3))
    chunks = sum(map(len, record.chains))
    assert [len(decisions) for decisions in done.decisions] == [chunks] * 3
    assert done.audit.rate == pytest.approx(0.4, abs=0.01)
    assert done.certificate["all"]["n"] == chunks


def test_a_replay_in_the_recorded_order_repeats_the_decisions(tmp_path: Path) -> None:
    """Scores go through exp and log on the way, so ties are as good as they were, and the rest follows the seed."""
    record = read_record(synthetic(tmp_path / "s.csv", seed=5), "ppl")
    decisions = decide_all(record, parse_order("recorded"), make_calibrator(CalibratorSettings(samples=8)), 5)
    assert {d.chunk: d.rejected for d in decisions} == record.taken_over


def test_the_reference_rule_is_reproduced(tmp_path: Path) -> None:
    """reject iff mean(calibration < ppl) >= 0.6, in any order of arrival, ties included."""
    calibration = [round(1 + i / 40, 2) for i in range(48)]
    lines = [f"{i % 5},{i // 5},0,{value!r},500,{int(sum(c < value for c in calibration) / 48 >= 0.6)}"
             for i, value in enumerate(round(1 + i / 45, 2) for i in range(60))]  # fmt: skip
    record = read_record(table(tmp_path / "s.csv", lines), "ppl")
    scores = [CalibrationScore("0", 0, math.log(value)) for value in calibration]
    settings = CalibratorSettings("static", 0.4, compat="reference")
    done = replay(record, settings, parse_order("merge"), [0], scores)
    assert {d.chunk: d.rejected for d in done.decisions[0]} == record.taken_over


def test_an_empty_record_has_no_recorded_decisions() -> None:
    assert Record(()).taken_over == {}
