"""What watches the target while it is loaded: events and figures on the run's clock.

An observer looks when it is asked, keeps what it saw last, and hands out what changed. Where the source writes down when
a thing happened, that is an event's instant; else it is the look that first saw it, late by up to one polling interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

Link = tuple[str, str]  # a subject and what it stands on


@dataclass(frozen=True, slots=True)
class Event:
    """One link of the chain, reached.

    `subject` says by whom (`replica:ID`, `ip:ADDRESS`, `pod:NAME`, `head:NAME`, `nodeclaim:NAME`, `node:NAME`; empty:
    shared by all), `on` what it stands on, so that replica -> ray node -> pod -> node can be walked down.
    """

    stage: str
    at_s: float
    source: str
    subject: str = ""
    on: str = ""
    detail: str = ""
    step: tuple[float, float] | None = None  # of a number that was raised: from and to


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
    max_ongoing_requests: int | None = None  # that one replica lets in; None: not known
    look_back_period_s: float = 30.0  # over which Serve averages the requests in flight


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a link is not there, as things stand now: what a verdict says when that link is the broken one.

    `definite`: it stays so until somebody does something; waiting longer shows nothing new.
    """

    stage: str
    text: str  # starts with the object that it speaks of, ends without a full stop
    definite: bool = False
    subject: str = ""  # whose chain it concerns; empty: every one's


@dataclass(frozen=True, slots=True)
class Machine:
    """One node that somebody pays for, from the claim on."""

    name: str  # of its NodeClaim
    instance_type: str
    pool: str
    from_s: float
    until_s: float | None = None  # None: it is still there
    usd_per_h: float | None = None  # None: its price is not known
    pods: tuple[str, ...] = ()  # the chatbot's that were bound to its node, in that order


@dataclass(frozen=True, slots=True)
class Observation:
    """One look."""

    events: tuple[Event, ...] = ()
    samples: tuple[Sample, ...] = ()
    evidence: tuple[str, ...] = ()  # sentences on how things stand now; they back a verdict
    rule: ScalingRule | None = None
    replicas: tuple[str, ...] = ()  # that answer now
    links: tuple[Link, ...] = ()  # that hold now, also between things that were there before the load
    causes: tuple[Cause, ...] = ()  # the most telling first
    machines: tuple[Machine, ...] = ()  # all that were seen so far


class Observer(Protocol):
    """One source."""

    name: str
    interval_s: float  # how often it is worth a look

    @property
    def stages(self) -> frozenset[str]:
        """What it can see here; the others are `skipped`. It may learn that in its first looks."""

    def look(self, now_s: float) -> Observation:
        """What changed since the last look. Raises ObserverError when the source does not answer."""


class ObserverError(Exception):
    """The source does not answer, or says something that it never said before."""


class NoAnswerInTime(ObserverError):
    """The source took the question and says nothing."""


class TargetSilent(ObserverError):
    """The source answers, and the part of the target that it speaks for does not: a finding, where the others mean blindness."""
