"""Configurations that version 0.1.0 saved are read as it meant them."""

from __future__ import annotations

from typing import Any

import pytest

from atts.config.earlier import in_todays_words
from atts.config.run import RunConfig, resolve, validated
from atts.errors import InputError

NEW = ("order", "last_chunk", "threshold")


def saved(**changes: Any) -> dict[str, Any]:
    """What version 0.1.0 wrote of a run: every key that it knew."""
    old = {key: value for key, value in RunConfig().model_dump().items() if key not in NEW}
    return old | {"calibrator": "tracked", "on_reject": "continue", "takeover_rate": None} | changes


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({}, {"rate": 0.4, "order": "problems", "last_chunk": "accept", "by_turn": True, "on_reject": "continue"}),
        ({"on_reject": "replace", "takeover_rate": 0.3}, {"rate": 0.3, "last_chunk": "check"}),
        ({"budget": 4.0}, {"rate": 0.25}),
        ({"by_turn": False}, {"by_turn": False}),
        ({"calibrator": "online"}, {"by_turn": None}),
        ({"problems": "mine.jsonl"}, {"prompt": "plain"}),
    ],
)
def test_what_it_took_for_granted_is_said(changes: dict[str, Any], now: dict[str, Any]) -> None:
    config = validated(in_todays_words(saved(**changes)))
    assert {key: getattr(config, key) for key in now} == now


def test_todays_configurations_are_left_alone() -> None:
    config = RunConfig().model_dump()
    assert in_todays_words(config) == config


def test_the_paper_is_a_preset_and_no_default() -> None:
    own = {"draft": "scripted:4", "target": "scripted:4"}
    plain, paper = resolve(options=own), resolve(preset="paper", options=own)
    assert (plain.calibrator, plain.rate, plain.on_reject, plain.order) == ("budgeted", 0.2, "replace", "samples")
    assert (paper.calibrator, paper.rate, paper.on_reject) == ("online", 0.4, "continue")
    assert (paper.order, paper.last_chunk) == ("problems", "accept")
    assert resolve(preset="paper", options={**own, "strategy": "lockstep"}).calibrator == "ranked"


def test_methods_that_need_siblings_have_their_order() -> None:
    assert validated({"strategy": "lockstep"}).order == "problems"
    with pytest.raises(InputError, match="needs the samples of a problem together"):
        validated({"strategy": "lockstep", "order": "samples"})


def test_own_questions_have_no_limit_on_the_bundled_pair() -> None:
    assert resolve().limit == 20
    assert resolve(options={"problems": "mine.jsonl"}).limit is None
    assert resolve(options={"problems": "mine.jsonl"}).prompt_for("plain") == "bundled"
