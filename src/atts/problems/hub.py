"""Problems from the Hugging Face hub, through its `datasets` library (extra `data`).

Its cache (`HF_HOME`) and offline mode (`HF_HUB_OFFLINE=1`) are honoured. Where `ATTS_DATASETS_DIR` names a folder, a
repository is read from there first: `DIR/OWNER/NAME`, as `hf download --repo-type dataset --local-dir` writes it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atts.errors import InputError, needs_extra
from atts.problems.rows import BadRowError
from atts.problems.sources import Part, shuffled
from atts.types import Problem

COPIES = "ATTS_DATASETS_DIR"


def problems(name: str, split: str, part: Part, *, revision: str | None, seed: int) -> list[Problem]:
    """All problems of a split in the hub's order. Raises InputError where they cannot be had or do not read.

    A copy is read as it stands now, and has no other revision.
    """
    found: list[Problem] = []
    copy = _copy(part)
    if copy is not None and revision is not None:
        raise InputError(f"{copy} is a copy and has no revision {revision!r}; leave it out, or unset {COPIES}")
    for index, row in enumerate(_rows(part, revision or part.revision, copy)):
        try:
            if not part.wanted(row):
                continue
            key = f"{name}/{split}/{len(found):04d}"
            asked = shuffled(part.read(row), seed, key)
        except (BadRowError, KeyError) as error:
            reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f"{part.repository}, row {index + 1}: {reason} (has the data set changed? give another revision)"
            ) from error
        meta = {"data_set": name, "split": split, "row": index, **_details(row)}
        found.append(Problem(key, asked.question, asked.answer, asked.choices, meta))
    return found


_KEPT = (
    "unique_id",
    "id",
    "url",
    "subject",
    "level",
    "subfield",
    "Subdomain",
    "Record ID",
    "source_type",
    "unit",
    "context",
)


def _details(row: Mapping[str, Any]) -> dict[str, Any]:
    """What later analyses group by, and what stands before the question; never the solution."""
    return {column: row[column] for column in _KEPT if row.get(column) not in (None, "")}


def _copy(part: Part) -> Path | None:
    """The folder that holds a copy of the repository, if there is one."""
    copy = Path(os.environ.get(COPIES, "")) / part.repository
    return copy if COPIES in os.environ and copy.is_dir() else None


def _rows(part: Part, revision: str, copy: Path | None) -> Sequence[Mapping[str, Any]]:
    try:
        import datasets
    except ImportError as error:
        raise needs_extra(f"data set {part.repository} needs datasets", "data") from error
    datasets.disable_progress_bars()  # they would tear the live view
    # Its cache would give a copy that was changed as it stood at first.
    source: dict[str, Any] = {"revision": revision} if copy is None else {"download_mode": "force_redownload"}
    try:
        with _quiet():
            rows = datasets.load_dataset(str(copy or part.repository), part.config, split=part.split, **source)
        # Text is all that is read; decoding pictures would need another library.
        kept: Sequence[Mapping[str, Any]] = rows.remove_columns([c for c in rows.column_names if c.startswith("image")])
    except Exception as error:  # the library raises a dozen kinds, from four packages
        raise InputError(_explained(part, revision, error)) from error
    return kept


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of every retry: one line of ours says how it ended."""
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _explained(part: Part, revision: str, error: Exception) -> str:
    """One line: what failed, and what to do about it."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    where = f"data set {part.repository} at revision {revision[:12]}"
    if "gated" in str(error):
        return (
            f"{where}: it is gated; accept its terms on huggingface.co/datasets/{part.repository}, then `hf auth login`"
        )
    if kinds & {"ConnectionError", "OfflineModeIsEnabled", "TimeoutException", "Timeout", "ConnectError"}:
        return (
            f"{where}: the hub cannot be reached and the cache has no copy; download it where there is a network "
            f"(hf download {part.repository} --repo-type dataset), or give a local file"
        )
    reason = (str(error).strip().splitlines() or [""])[0]
    return f"{where}: {type(error).__name__}: {reason[:200]}"
