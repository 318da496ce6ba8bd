"""Progress of long work on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from tqdm import tqdm


class Bar:
    """One progress bar a stage, on stderr, and only on a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._stage = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, stage: str, done: int, total: int) -> None:
        """What is done, how much of it, and of how much; 0 where that is not known."""
        if stage != self._stage:
            if self._bar is not None:
                self._bar.close()
            self._stage = stage
            self._bar = tqdm(desc=stage, total=total or None, disable=None, leave=False, unit_scale=True)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
