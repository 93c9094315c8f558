"""Check what the main job wrote on the bundled pair: `check_summary.py PRINTED SAVED`."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(printed: str, saved: str) -> None:
    """Exit with a message where the summary is not what the README promises."""
    summary = json.loads(Path(printed).read_text())
    assert summary == json.loads(Path(saved).read_text()), "printed and saved summaries differ"
    assert summary["status"] == "complete", summary["status"]
    assert summary["chains"]["done"] == summary["problems"] * summary["samples"] == 160, summary["chains"]
    assert abs(summary["takeover"]["rate"]["value"] - summary["takeover"]["target_rate"]) <= 0.03, summary["takeover"]
    assert summary["accuracy"]["pass@1"]["value"] > 0.6, summary["accuracy"]
    assert 0 < summary["tokens"]["target_share"] < 0.4, summary["tokens"]
    print(
        f"{summary['chains']['done']} chains in {summary['time']['wall_s']:.0f} s, "
        f"pass@1 {summary['accuracy']['pass@1']['value']:.3f}, takeover rate {summary['takeover']['rate']['value']:.3f}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
