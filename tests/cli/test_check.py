"""`atts check`: one table or JSON, and an exit status that a script can use."""

from __future__ import annotations

import json

import pytest

from atts.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])
    code = ended.value.code
    captured = capsys.readouterr()
    return code if isinstance(code, int) else 0, captured.out, captured.err


def test_ready(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--draft", "scripted:", "--target", "scripted:", "--json")
    report = json.loads(out)
    assert code == 0 and report["ok"]
    assert {finding["role"] for finding in report["findings"]} == {"draft", "target", ""}


def test_not_ready_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--draft", "scripted:", "--target", "sglang:http://127.0.0.1:9", "--patience", "0.1")
    assert code == 1
    assert "not ready" in out and "did not come back" in out


def test_one_model_is_looked_at_where_one_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--strategy", "draft-only", "--draft", "scripted:", "--json")
    assert code == 0 and {finding["role"] for finding in json.loads(out)["findings"]} == {"draft"}


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--target", "sglang:localhost:1")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and "write it as sglang:http://host:port" in err
