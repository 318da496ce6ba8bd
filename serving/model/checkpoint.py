"""Where weights come from: anything that knows its config and hands out one tensor at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Checkpoint(Protocol):
    """Weights under Hugging Face's names."""

    @property
    def config(self) -> Mapping[str, Any]:
        """What a Hugging Face config.json of this model says."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Name of every tensor -> its shape."""

    def tensor(self, name: str) -> NDArray[np.float32]:
        """The exact values; only this one tensor is in memory. Raises KeyError for an unknown name."""
