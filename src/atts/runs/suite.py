"""A suite: runs that are listed in one file, with sweeps, each on the servers that it asks for.

samples = 16                          # keys of a run hold for all of them
preset = "r1-1.5b+qwq-32b"

[servers]                             # launched for them; without it, the engines are those of the runs
engine = "vllm"

[[run]]
name = "tracked"
sweep.problems = ["aime24", "math500"]
sweep.takeover_rate = [0.2, 0.4]      # every combination: four runs

[[run]]
name = "static"
problems = "math500"
calibrator = "static"
calibrate = { limit = 100 }           # record scores first; keys that differ for that, or true

Calibrations are named by all that their scores depend on: runs that would record the same share one, and a changed
file records anew.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atts import problems as datasets
from atts.calibration.files import digest
from atts.config.presets import PRESETS
from atts.config.run import RunConfig, read_run_file, resolve
from atts.errors import InputError
from atts.launch.settings import ServerSettings
from atts.launch.settings import validated as validated_servers
from atts.stats.settings import OPTIONS
from atts.store.folder import RunFolder

_OWN = frozenset({"name", "sweep", "calibrate", "servers"})
# A subset is a choice among the problems of the test, of which none may be recorded; the rest is nothing to a coin.
_NOT_RECORDED = frozenset({"subset", "calibration", "calibrator_options", *OPTIONS})


@dataclass(frozen=True, slots=True)
class Configuration:
    """One run of a suite. `calibrate` is the run that records its calibration file first, None where none is."""

    name: str
    path: Path
    config: RunConfig
    servers: ServerSettings | None
    calibrate: RunConfig | None

    def summary(self) -> dict[str, Any] | None:
        """What it came to, if it was run to an end. Raises `InputError` if its folder holds another run."""
        if not RunFolder.exists(self.path):
            return None
        folder = RunFolder.open(self.path)
        folder.refuse_if_different(self.config)
        return folder.summary_if_any()

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        summary = self.summary()
        return summary is not None and summary["status"] == "complete"


def read_suite(path: Path, folder: Path) -> list[Configuration]:
    """The configurations of a suite file, sweeps unfolded, with their places in the folder.

    Raises `InputError` naming the run and the key for whatever is wrong in any of them, before anything is started.
    """
    content = read_run_file(path)
    entries = content.pop("run", None)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: a suite lists its runs as [[run]] tables, and needs one at least")
    found: dict[str, Configuration] = {}
    for number, entry in enumerate(entries, start=1):
        label = f"{path}, run {number} ({entry.get('name', 'no name')})"
        try:
            for name, values in _unfolded(entry, f"run-{number}"):
                if name in found:
                    raise InputError(f"name {name!r} is taken: give another name")
                found[name] = _configuration(name, folder, {**content, **values})
        except InputError as error:
            raise InputError(f"{label}: {error}") from error
    return list(found.values())


def by_servers(configurations: list[Configuration]) -> dict[ServerSettings | None, list[Configuration]]:
    """The configurations by the servers that they need, in order, so that each pair is started once."""
    groups: dict[ServerSettings | None, list[Configuration]] = {}
    for configuration in configurations:
        groups.setdefault(configuration.servers, []).append(configuration)
    return groups


def _unfolded(entry: Mapping[str, Any], default: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every combination of the swept values, with a name that says which."""
    sweep = entry.get("sweep", {})
    if not isinstance(sweep, dict) or not all(isinstance(values, list) and values for values in sweep.values()):
        raise InputError("sweep: give each key a list of values, e.g. sweep.takeover_rate = [0.2, 0.4]")
    plain = {key: value for key, value in entry.items() if key != "sweep"}
    name = str(entry.get("name", default))
    for values in itertools.product(*sweep.values()):
        chosen = dict(zip(sweep, values, strict=True))
        parts = [name, *(f"{key}={_short(value)}" for key, value in chosen.items())]
        yield "-".join(re.sub(r"[^\w.=+-]+", "_", part) for part in parts), {**plain, **chosen}


def _configuration(name: str, folder: Path, values: Mapping[str, Any]) -> Configuration:
    run = {key: value for key, value in values.items() if key not in _OWN}
    servers = _servers(values, run)
    if servers is not None:
        addresses = {server.role.value: server.address for server in servers.servers}
        if given := sorted(addresses.keys() & run.keys()):
            raise InputError(f"{given[0]}: the engine is the server that [servers] starts; leave one of them out")
        run |= addresses
    asked = values.get("calibrate", False)
    if not isinstance(asked, bool | dict):
        raise InputError("calibrate: true, or a table of the keys that differ while recording")
    recording = None
    if asked is not False:
        recording = _recording(run, asked if isinstance(asked, dict) else {})
        run["calibration"] = str(folder / f"calibration-{_fingerprint(recording, servers)}.json")
    config = resolve(options=run)
    config.calibrator_settings()
    datasets.describe(config.problems)
    return Configuration(name, folder / name, config, servers, recording)


def _recording(run: Mapping[str, Any], changes: Mapping[str, Any]) -> RunConfig:
    """The run whose scores a calibration is made of."""
    same = {key: value for key, value in run.items() if key not in _NOT_RECORDED}
    config = resolve(options={**same, "calibrator": "coin", **changes})
    # After the first turn nothing is recorded, so nothing need be taken over.
    return (
        config.model_copy(update={"takeover_rate": 0.0, "budget": None, "alpha": None}) if config.turns == 1 else config
    )


def _fingerprint(recording: RunConfig, servers: ServerSettings | None) -> str:
    """Equal where the same scores would be recorded: such runs share one file, and no other run reads it."""
    return digest(f"{recording.fingerprint()} {servers.model_dump_json() if servers else ''}")


def _servers(values: Mapping[str, Any], run: Mapping[str, Any]) -> ServerSettings | None:
    """The servers that `[servers]` asks for, on top of those of the preset; `servers = false` asks for none."""
    asked = values.get("servers", False)
    if asked is False:
        return None
    if not isinstance(asked, dict):
        raise InputError("servers: a table, or false")
    preset = PRESETS.get(str(run.get("preset")))
    return validated_servers({**(preset.servers if preset else {}), **asked})


def _short(value: object) -> str:
    return Path(value).stem if isinstance(value, str) and "/" in value else str(value)
