"""What an explanation is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Weight(IntEnum):
    """The smaller, the sooner it is told."""

    BROKEN = 0  # stays so until somebody does something
    OVERDUE = 1  # may still come, but takes longer than it should
    WAITING = 2  # takes the time that it takes


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for which something is not there yet."""

    weight: Weight
    what: str  # the object that waits, or that others wait for
    why: str  # the rest of a sentence that starts with `what`
    do: str  # a sentence: the next step
    since: datetime | None = None

    def sentence(self, now: datetime) -> str:
        """All of it as one would say it."""
        for_so_long = f" (for {duration_text((now - self.since).total_seconds())})" if self.since else ""
        return f"{self.what} {self.why}{for_so_long}. {self.do}"


@dataclass(frozen=True, slots=True)
class Branch:
    """One object of the tree: its state in a line, what is wrong with it, and what it stands on."""

    text: str
    findings: tuple[Finding, ...] = ()
    children: tuple[Branch, ...] = ()

    def all_findings(self) -> Iterator[Finding]:
        """Its own and those below, from top to bottom."""
        yield from self.findings
        for child in self.children:
            yield from child.all_findings()

    def lines(self, indent: str = "") -> Iterator[str]:
        """The tree as text; `!` marks a line with a finding."""
        yield f"{indent}{'!' if self.findings else ' '} {self.text}"
        for child in self.children:
            yield from child.lines(indent + "  ")


def broken(what: str, why: str, do: str, since: datetime | None) -> Branch:
    """A line of the tree with one finding that somebody has to mend."""
    return Branch(f"{what} {why}", (Finding(Weight.BROKEN, what, why, do, since),))


def overdue(what: str, why: str, do: str, since: datetime | None) -> Branch:
    """The same for what may still come by itself."""
    return Branch(f"{what} {why}", (Finding(Weight.OVERDUE, what, why, do, since),))


def waiting(what: str, why: str, do: str, since: datetime | None) -> Branch:
    """The same for what takes its time."""
    return Branch(f"{what} {why}", (Finding(Weight.WAITING, what, why, do, since),))


def duration_text(seconds: float) -> str:
    """As one says it: 40 s, 12 min, 3 h."""
    if seconds < 120:
        return f"{max(0, round(seconds))} s"
    minutes = seconds / 60
    return f"{round(minutes)} min" if minutes < 120 else f"{round(minutes / 60)} h"
