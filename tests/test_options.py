"""The options of a method: where they may be given, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from atts.config.run import resolve, validated
from atts.errors import InputError


def test_given_in_a_file_on_the_command_line_and_by_assignment(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'strategy = "specreason"\n[options]\nscore_threshold = 3\ntoken_budget = 100\nscore_method = "average"\n'
    )
    config = resolve(
        run_file=file, options={"options": {"token_budget": 200}}, assignments=["options.score_method=greedy"]
    )
    assert config.options["score_threshold"] == 3
    assert config.options["token_budget"] == 200
    assert config.options["score_method"] == "greedy"
    assert config.options["compat"] == "none"  # the whole of it is saved with the run
    assert validated(config.model_dump()) == config
    assert config.fingerprint() != resolve(run_file=file).fingerprint()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"strategy": "nonsense"}, "there is no strategy 'nonsense'"),
        ({"strategy": 3}, "there is no strategy '3'"),
        ({"strategy": ["atts"]}, "there is no strategy"),
        (
            {"strategy": "specreason", "options": {"x": 1}},
            "there is no option 'x' of strategy specreason; there are",
        ),
        ({"strategy": "specreason", "options": {"token_budget": 0}}, "options.token_budget = 0"),
        ({"options": {"x": 1}}, "there is no option 'x' of strategy atts; there are: none"),
        ({"options": 3}, "options = 3"),
        ({"strategy": "coin", "calibrator": "online"}, "strategy coin decides by coin"),
        ({"strategy": "lockstep", "calibrator": "tracked"}, "strategy lockstep decides by ranked"),
        ({"strategy": "lockstep", "chains": 8}, "chains = 8"),
        ({"calibrator": "ranked"}, "ranked"),
        ({"vote_stop": "sometimes"}, "vote_stop"),
        ({"vote_error": 0}, "vote_error = 0"),
    ],
)
def test_what_is_wrong_is_named(keys: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validated(keys)


def test_a_method_brings_its_own_calibrator() -> None:
    assert validated({"strategy": "coin"}).calibrator == "coin"
    assert validated({"strategy": "lockstep"}).calibrator_settings().name == "ranked"
    assert validated({"strategy": "atts"}).calibrator == "budgeted"


def test_each_layer_may_say_the_rate_by_another_name(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("takeover_rate = 0.3\nsamples = 4")
    assert resolve(run_file=file).rate == 0.3
    assert resolve(run_file=file, options={"budget": 1.0}).rate == 0.25
    assert resolve(run_file=file, options={"budget": 1.0}, assignments=["alpha=0.9"]).rate == 0.1
    with pytest.raises(InputError, match="say the same thing"):
        resolve(run_file=file, options={"budget": 1.0, "alpha": 0.9})


def test_runs_keep_their_fingerprint() -> None:
    """A key that is new goes into `_ADDED`, or runs that were begun before are not found any more."""
    assert resolve(options={"limit": 3, "samples": 2}).fingerprint() == "112e259dbc4e"
    assert resolve(options={"limit": 3, "samples": 2, "strategy": "lockstep"}).fingerprint() == "5a7cfa52cd1b"
    assert (
        resolve(options={"calibrator": "fixed", "threshold": 0.5}).fingerprint()
        != resolve(options={"calibrator": "fixed", "threshold": 0.6}).fingerprint()
    )


def test_a_preset_may_be_named_in_any_layer(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('preset = "paper"')
    assert resolve(run_file=file).chunk == "tokens"
    assert resolve(run_file=file, preset="bundled").chunk == "step"
    assert resolve(preset="paper", assignments=["preset=bundled"]).chunk == "step"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("takeover_rate=true", "takeover_rate = true: it is no switch"),
        ("samples=true", "samples = true: it is no switch"),
        ("draft_temperature=inf", "draft_temperature = inf"),
        ("timeout=nan", "timeout = nan"),
    ],
)
def test_what_is_no_number_is_none(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(assignments=[assignment])


def test_switches_are_switches() -> None:
    assert resolve(assignments=["by_turn=true", "hard_budget=true"]).by_turn is True
