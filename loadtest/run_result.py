"""What a run left behind, as plain values: everything after it is pure."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.honesty import Pulse
from loadtest.observers.watched import Watched
from loadtest.record import Record
from loadtest.rehearsal import Rehearsal
from loadtest.spec import Profile


@dataclass(frozen=True, slots=True)
class Run:
    """One finished or interrupted run; instants in seconds from its start."""

    profile: Profile
    model: str
    records: tuple[Record, ...]
    pulses: tuple[Pulse, ...]
    in_flight_at_end: int
    started_unix_s: float
    removed_s: float  # when the last request was sent that would be
    ended_s: float
    interrupted_s: float | None
    watched: Watched | None  # None: nobody watched
    known_replicas: tuple[str, ...]  # that ran before the load
    troubles: tuple[str, ...]  # what voids it besides a saturated client
    deployment: bool = False  # nothing was sent but one question: a deployment's first replica was watched
    asks: bool = True  # of a deployment: whether its address was known
    rehearsal: Rehearsal | None = None  # what of this target's time is not production's
