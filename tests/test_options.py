"""The options of a method: where they may be given, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from atts.config import resolve, validated
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
        ({"strategy": "nonsense"}, "strategy 'nonsense' is unknown"),
        ({"strategy": "specreason", "options": {"x": 1}}, "options.x: strategy specreason has no such option"),
        ({"strategy": "specreason", "options": {"token_budget": 0}}, "options.token_budget = 0"),
        ({"options": {"x": 1}}, "its options: none"),
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
    assert validated({"strategy": "atts"}).calibrator == "tracked"
