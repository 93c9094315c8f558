"""Randomness by derivation: every seed is a function of the run's seed and of what it is for.

So a result depends neither on the order in which things happen nor on how often a run was interrupted.
"""

from __future__ import annotations

import hashlib

_BITS = 53  # a Python float holds 53 bits exactly


def derive(seed: int, *parts: str | int) -> int:
    """A seed in [0, 2**53) from the run's seed and the parts (problem, sample, turn, purpose), in that order."""
    text = "\x1f".join([str(seed), *map(str, parts)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - _BITS)


def uniform(seed: int, *parts: str | int) -> float:
    """A number in the open interval (0, 1), derived like a seed."""
    return (derive(seed, *parts) + 0.5) / float(1 << _BITS)
