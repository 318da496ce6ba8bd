"""What was watched, as plain values: `timeline` and `verdict` read nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtest.observers import Cause, Event, Link, Machine, Sample, ScalingRule


@dataclass(frozen=True, slots=True)
class Account:
    """How things stood at one moment: what a verdict is backed by."""

    evidence: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    blind: str = ""  # what the observers said, where none of them saw anything; empty: somebody saw


@dataclass(frozen=True, slots=True)
class Watched:
    """All that was seen from the start of the load to `until_s`."""

    stages: frozenset[str] = frozenset()  # what could be seen
    events: tuple[Event, ...] = ()
    links: frozenset[Link] = frozenset()
    samples: tuple[Sample, ...] = ()
    machines: tuple[Machine, ...] = ()
    now: Account = Account()  # of the last look
    under_load: Account = Account()  # of the last look before the load ended
    rule: ScalingRule | None = None
    until_s: float = 0.0
    interval_s: float = 0.5  # the longest between two looks of one observer
    failed_looks: dict[str, int] = field(default_factory=dict)  # sentence -> how often

    def last(self, name: str, *, before_s: float = float("inf")) -> float | None:
        """The last value of a figure up to an instant."""
        return next((s.value for s in reversed(self.samples) if s.name == name and s.at_s <= before_s), None)
