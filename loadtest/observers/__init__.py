"""What watches the target while it is loaded: events and figures on the run's clock.

An observer looks when it is asked, keeps what it saw last, and hands out what changed. Instants are those of the look
that first saw a thing, so they are late by up to one polling interval, which the report states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """One link of the chain, reached.

    `subject` says by whom (`replica:ID`, `ip:ADDRESS`, `pod:NAME`, `nodeclaim:NAME`, `node:NAME`; empty: shared by all),
    `on` what it stands on, so that replica -> ray node -> pod -> node can be walked down.
    """

    stage: str
    at_s: float
    source: str
    subject: str = ""
    on: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A figure that is drawn over time."""

    name: str  # replicas_target, replicas_running, nodes_ready, pods_pending, …
    at_s: float
    value: float


@dataclass(frozen=True, slots=True)
class ScalingRule:
    """What the autoscaler was told."""

    min_replicas: int
    max_replicas: int
    target_ongoing_requests: float


@dataclass(frozen=True, slots=True)
class Observation:
    """One look."""

    events: tuple[Event, ...] = ()
    samples: tuple[Sample, ...] = ()
    evidence: tuple[str, ...] = ()  # sentences on how things stand now; they back a verdict
    rule: ScalingRule | None = None
    replicas: tuple[str, ...] = ()  # that answer now


class Observer(Protocol):
    """One source."""

    name: str
    stages: frozenset[str]  # what it can see here; the others are `skipped`

    def look(self, now_s: float) -> Observation:
        """What changed since the last look. Raises ObserverError when the source does not answer."""


class ObserverError(Exception):
    """The source does not answer, or says something that it never said before."""
