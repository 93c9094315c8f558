"""A tiny trained draft/target pair and the family of problems that it solves.

`DRAFT` and `TARGET` are Hugging Face folders: `local:{DRAFT}` is an engine like any other.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from atts.errors import InputError

DRAFT: Path = Path(__file__).parent / "draft"
"""The folder of the small model."""
TARGET: Path = Path(__file__).parent / "target"
"""The folder of the large model."""


def verify(*folders: Path) -> None:
    """Check every file of the bundled folders, or of other ones, against its `SHA256SUMS`.

    Raises:
        InputError: a folder has no sums, or a file is missing or differs.
    """
    for folder in folders or (DRAFT, TARGET):
        sums = folder / "SHA256SUMS"
        if not sums.is_file():
            raise InputError(f"{sums}: missing; install the package again")
        for line in sums.read_text(encoding="utf-8").splitlines():
            expected, name = line.split("  ", 1)
            path = folder / name
            if not path.is_file():
                raise InputError(f"{path}: missing; install the package again")
            if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                raise InputError(f"{path}: damaged (its SHA-256 is not that of {sums.name}); install the package again")
