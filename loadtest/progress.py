"""The progress bar of a run, where the output is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from tqdm import tqdm


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, for whoever shows it."""

    phase: str  # settle, load, drain, scale-in, deploy
    done_s: float
    of_s: float
    in_flight: int
    ended: int
    failed: int


@contextmanager
def bar(stream: TextIO) -> Iterator[Callable[[Progress], None]]:
    """Something to tell progress to; silent when `stream` is not a terminal."""
    shown: tqdm[Any] = tqdm(
        total=0, file=stream, disable=not stream.isatty(), bar_format="{desc} {bar} {n:.0f}/{total:.0f} s{postfix}"
    )

    def tell(progress: Progress) -> None:
        shown.total = progress.of_s
        shown.n = min(progress.done_s, progress.of_s)
        shown.set_description_str(f"{progress.phase:<9}", refresh=False)
        failed = f", {progress.failed} failed" if progress.failed else ""
        shown.set_postfix_str(f"{progress.in_flight} in flight, {progress.ended} ended{failed}")

    with shown:
        yield tell
