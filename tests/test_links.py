"""The pages that stand outside the site, whose links nobody else checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:img|a|source)[^>]*\b(?:src|href|srcset)=\"([^\"]+)\"")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_relative_link_and_picture_exists(page: str) -> None:
    targets = [one or other for one, other in _LINK.findall((ROOT / page).read_text(encoding="utf-8"))]
    assert targets or page != "README.md"
    local = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (ROOT / target).exists()] == []
