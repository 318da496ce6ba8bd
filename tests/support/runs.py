"""Finished runs, built by hand, for everything that is made from them."""

from __future__ import annotations

from typing import Any

from loadtest.honesty import Pulse
from loadtest.record import Outcome, Record
from loadtest.run_result import Run
from loadtest.stages import SCALE_OUT
from tests.support import chains
from tests.support.load_profiles import closed, failure, profile, record

TARGET = {"name": "local", "base_url": "http://127.0.0.1:8000", "class": "loopback"}
VERSIONS = {
    "loadtest": None,
    "git_revision": "abc",
    "locust": "2",
    "python": "3",
    "platform": "Linux",
    "client_cores": 2,
}
LOCAL = frozenset(
    {"serve-target-raised", "replica-started", "replica-running", "serve-target-lowered", "replica-drained"}
)
CALM = Pulse("the client", (0.001,) * 100, (0.2,) * 20)


def run(records: tuple[Record, ...] = (), **fields: Any) -> Run:
    """An open loop that ended by itself, watched by nobody."""
    base: dict[str, Any] = {
        "profile": profile(), "model": "golden",
        "records": records or tuple(record(i, at_s=i / 2) for i in range(20)),
        "pulses": (CALM,), "in_flight_at_end": 1, "started_unix_s": 1_700_000_000.0, "removed_s": 10.0, "ended_s": 12.0,
        "interrupted_s": None, "watched": None, "known_replicas": (), "troubles": (),
    }  # fmt: skip
    return Run(**(base | fields))


def verified(*, until: str | None = None, **fields: Any) -> Run:
    """A closed loop of four users from 10 s to 100 s, watched, whose chain ends before the link `until`."""
    load = closed(
        stages=[
            {"name": "calm", "duration_s": 10, "users": 1, "warmup": True},
            {"name": "loaded", "duration_s": 90, "users": 4},
        ]
    )
    seen = [event for event in chains.events(until=until) if event.stage in LOCAL]
    records = [record(i, at_s=10 + i, stage=1, replica="new" if i > 15 else "old") for i in range(60)]
    records += [failure(Outcome.TIMEOUT, 60, at_s=80.0, stage=1)] if until else []
    base: dict[str, Any] = {
        "profile": load, "records": tuple(records), "removed_s": chains.REMOVED_S, "ended_s": chains.UNTIL_S,
        "known_replicas": ("old",),
        "watched": chains.watched(seen, visible=LOCAL, under_load=1 if until in SCALE_OUT else 2),
    }  # fmt: skip
    return run(**(base | fields))
