"""How many small changes to the code do its tests notice?

A seeded sample of mutants of the rooms is drawn; each is tried in a copy of the tree, against the room's tests that run
the changed line, quick ones first, until one fails or the time is up. The working tree is only read. Outcomes go to a
file line by line; the same command goes on where it was interrupted, and does nothing twice.

    scripts/mutate stats pipeline --sample 300
    scripts/mutate pipeline/vote.py --sample 20 --show
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coverage.data import CoverageData

from tools.mutate.mutants import Mutant, of_room

ROOT = Path(__file__).parents[2]
TESTS: Mapping[str, tuple[str, ...]] = {
    "stats": ("tests/stats",),
    "pipeline": ("tests/pipeline",),
    "engines/servers": ("tests/engines/servers",),
}
"""The rooms that are measured, and the tests that concern each."""
KILLED = ("killed", "timeout")
_PLUGINS = ("no:cacheprovider", "pytest_asyncio.plugin", "_hypothesis_pytestplugin", "tools.mutate.chosen")
_PATIENCE = 20  # a mutant that waits for ever uses no processor; it ends after so many times the limit


@dataclass(frozen=True, slots=True)
class Covered:
    """What an unchanged room's tests did: which of them ran each line of each file, and the seconds of each test."""

    lines: Mapping[str, Mapping[int, set[str]]]
    seconds: Mapping[str, float]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that run the changed line, quick ones first; all tests where it runs when a module is loaded."""
        contexts = self.lines.get(mutant.path, {})
        found = set().union(*(contexts.get(line, set()) for line in range(mutant.statement, mutant.line + 1)))
        chosen = set(self.seconds) if "" in found and found == {""} else found - {""}
        return sorted(chosen, key=lambda test: self.seconds.get(test, 0.0))


class Copy:
    """A copy of the tree in which a room's tests are run."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path
        listed = ["git", "ls-files", "-co", "--exclude-standard", "src", "tests", "tools", "benchmarks", "*.*"]
        for name in subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines():
            if (root / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / name, path / name)

    def baseline(self, tests: Sequence[str]) -> Covered:
        """Run the tests on the unchanged code. Exits with a message where they fail."""
        times = self.path / "times.json"
        options = ["-p", "pytest_cov.plugin", "--cov=src/atts", "--cov-context=test", "--cov-report="]
        if self._pytest([*options, *tests], None, ATTS_MUTATE_TIMES=str(times)) != 0:
            sys.exit(f"mutate: {' '.join(tests)}: these tests fail on the unchanged code")
        data = CoverageData(str(self.path / ".coverage"))
        data.read()
        lines = {
            str(Path(file).relative_to(self.path)): {
                line: {context.rpartition("|")[0] for context in contexts}
                for line, contexts in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        return Covered(lines, json.loads(times.read_bytes()))

    def try_(self, mutant: Mutant, tests: Sequence[str], limit: float) -> str:
        """What the tests say of a mutant: killed, survived or timeout."""
        if not tests:
            return "survived"
        file, chosen = self.path / mutant.path, self.path / "chosen.json"
        unchanged = file.read_bytes()
        chosen.write_text(json.dumps(tests), encoding="utf-8")
        file.write_bytes(mutant.source)
        try:
            files = sorted({test.partition("::")[0] for test in tests})
            code = self._pytest(["-x", *files], limit, ATTS_MUTATE_CHOSEN=str(chosen), ATTS_MUTATE_SECONDS=str(limit))
        finally:
            file.write_bytes(unchanged)
        if code == 5:
            sys.exit(f"mutate: none of the tests of {mutant.path}:{mutant.line} was found")
        return {0: "survived", None: "timeout"}.get(code, "killed")

    def _pytest(self, arguments: Sequence[str], limit: float | None, **environment: str) -> int | None:
        """The exit status; None where the time was up (of the processor: other work on the machine is no matter)."""
        plugins = [word for name in _PLUGINS for word in ("-p", name)]
        environment |= {"PYTHONPATH": f"{self.path / 'src'}:{self.path}", "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # most of the time that an empty run takes
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *plugins, *arguments],
            cwd=self.path,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                code = process.wait(None if limit is None else _PATIENCE * limit)
            except subprocess.TimeoutExpired:
                return None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            return None if code in (-signal.SIGXCPU, -signal.SIGKILL) else code


def wilson(part: int, whole: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if not whole:
        return 0.0, 1.0
    share = part / whole
    middle = share + z * z / (2 * whole)
    spread = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return (middle - spread) / (1 + z * z / whole), (middle + spread) / (1 + z * z / whole)


def measure(
    root: Path, tests: Mapping[str, Sequence[str]], sample: int, seed: int, limit: float, out: Path
) -> list[dict[str, Any]]:
    """Try a sample of the mutants of these rooms and files, each against its tests.

    Returns the outcomes; what `out` has from earlier is not tried again.
    """
    everything = [(name, mutant) for name in tests for mutant in of_room(root, name)]
    drawn = random.Random(seed).sample(everything, min(sample, len(everything)))
    print(f"{len(everything)} mutants, {len(drawn)} drawn with seed {seed}; outcomes in {out}", flush=True)
    known = {entry["key"]: entry for entry in map(json.loads, out.read_text().splitlines())} if out.exists() else {}
    covered: dict[str, Covered] = {}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, out.open("a", encoding="utf-8") as file:
        copy = Copy(root, Path(folder))
        for name, mutant in drawn:
            if mutant.key in known:
                continue
            if name not in covered:
                covered[name] = copy.baseline(tests[name])
            chosen, began = covered[name].tests_of(mutant), time.monotonic()
            entry = {"key": mutant.key, "room": name, "place": f"{mutant.path}:{mutant.line}", "tests": len(chosen)}
            entry |= {"before": mutant.before, "after": mutant.after, "outcome": copy.try_(mutant, chosen, limit)}
            known[mutant.key] = entry | {"seconds": round(time.monotonic() - began, 1)}
            print(json.dumps(known[mutant.key]), file=file, flush=True)
    return [known[mutant.key] for _, mutant in drawn]


def report(outcomes: Iterable[Mapping[str, Any]], show: bool) -> float:
    """Print the share of mutants that were killed, room by room, and those that were not; returns the share of all."""
    rooms: dict[str, list[bool]] = defaultdict(list)
    for entry in outcomes:
        rooms[entry["room"]].append(entry["outcome"] in KILLED)
        if show and entry["outcome"] not in KILLED:
            print(f"{entry['place']} ({entry['tests']} tests)\n-   {entry['before']}\n+   {entry['after']}")
    for room, killed in rooms.items():
        low, high = wilson(sum(killed), len(killed))
        print(
            f"{room}: {sum(killed)} of {len(killed)} killed, {sum(killed) / len(killed):.1%} ({low:.1%} to {high:.1%})"
        )
    everything = [one for killed in rooms.values() for one in killed]
    return sum(everything) / len(everything)


def tests_of(name: str) -> tuple[str, ...]:
    """The tests that concern a room, or a file of one. Exits where there is no such room."""
    for room, tests in TESTS.items():
        if name == room or name.startswith(f"{room}/"):
            return tests
    sys.exit(f"mutate: {name} is in no room that is measured: {', '.join(TESTS)}")


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser("mutate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rooms", nargs="*", default=list(TESTS), help=f"rooms or files of them: {', '.join(TESTS)}")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="try against these tests [those of the room]")
    parser.add_argument("--sample", type=int, default=300, metavar="N", help="mutants to try [300]")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another sample [0]")
    parser.add_argument("--limit", type=float, default=60, metavar="S", help="seconds of the processor a mutant [60]")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants.jsonl", help="outcomes, to go on from")
    parser.add_argument("--show", action="store_true", help="list the mutants that survived")
    parser.add_argument("--at-least", type=float, default=0.0, metavar="SHARE", help="fail where fewer are killed [0]")
    given = parser.parse_args()
    tests = {name: given.tests or tests_of(name) for name in given.rooms}
    for name in tests:
        if not of_room(ROOT, name):
            sys.exit(f"mutate: {name}: there is nothing to change")
    share = report(measure(ROOT, tests, given.sample, given.seed, given.limit, given.out), given.show)
    sys.exit(share < given.at_least)


if __name__ == "__main__":
    main()
