"""One seed, many independent streams: each consumer names its own, so that none disturbs another."""

from __future__ import annotations

import random


def stream(seed: int, *path: str | int) -> random.Random:
    """The random stream called `path` of `seed`; the same on every machine and Python version."""
    return random.Random("/".join(map(str, (seed, *path))))  # noqa: S311 - load, not secrets
