"""Finished runs, built by hand, for everything that is made from them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from loadtest.honesty import Pulse
from loadtest.observers import Event, Machine, Sample, ScalingRule
from loadtest.observers.watched import Account, Watched
from loadtest.record import Outcome, Record
from loadtest.rehearsal import Rehearsal, Simulated, Timer, for_speed
from loadtest.run_result import Run
from loadtest.stages import HEAD, SCALE_IN, SCALE_OUT
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


REHEARSAL = Rehearsal(
    speed=10,
    stages={
        "image-pulled": Simulated(rehearsed_s=13.1, production_s=131, what="the worker's image is pulled"),
        "model-loaded": Simulated(rehearsed_s=15, production_s=150, what="weights and graphs are loaded"),
    },
    timers=(Timer(name="upscale_delay_s", rehearsed=2, production=10, unit="s", stage="serve-target-raised"),),
)
_TOOK_S = {"serve-target-raised": 4, "ray-demand-raised": 2, "nodeclaim-created": 2, "node-registered": 4, "image-pulled": 14,
           "ray-node-joined": 3, "model-loaded": 16}  # fmt: skip


def clustered(**fields: Any) -> Run:
    """On a rehearsed cluster: one replica, a second, a third, and back to one, every link seen."""
    load = closed(
        stages=[
            {"name": "calm", "duration_s": 10, "users": 1, "warmup": True},
            {"name": "two", "duration_s": 80, "users": 4},
            {"name": "three", "duration_s": 80, "users": 6},
        ],
        slo={"ttft_s": 15, "scale_with_speed": ["ttft_s"]},
    )
    events = [
        *_came("two", 10.0, 1, SCALE_OUT), *_came("three", 90.0, 2, SCALE_OUT),
        *_came("three", 170.0, 3, SCALE_IN), *_came("two", 178.0, 2, SCALE_IN),
    ]  # fmt: skip
    kinds = ("replica", "ip", "pod", "node", "nodeclaim")
    links = [(f"{kind}:{name}", f"{below}:{name}") for name in ("two", "three") for kind, below in pairwise(kinds)]
    machines = [
        Machine("x86-head", "m5.xlarge", "x86-cpu-karpenter", -300.0, None, 0.192),
        Machine("trn1-old", "trn1.2xlarge", "trainium-trn1", -290.0, None, 1.34375),
        Machine("trn1-two", "trn1.2xlarge", "trainium-trn1", 16.0, 185.0, 1.34375),
        Machine("trn1-three", "trn1.2xlarge", "trainium-trn1", 96.0, 177.0, 1.34375),
    ]
    running = ((0, 1), (60, 2), (140, 3), (172, 2), (180, 1))
    rate = ((0, 1.53575), (16, 2.8795), (96, 4.22325), (177, 2.8795), (185, 1.53575))
    watched = Watched(
        stages=chains.EVERYTHING, events=tuple(events), links=frozenset(links), machines=tuple(machines),
        samples=tuple(
            Sample(name, float(at_s), value)
            for name, points in (("replicas_running", running), ("replicas_target", running), ("nodes_ready", running), ("usd_per_hour", rate))
            for at_s, value in points
        ),
        now=Account(("Serve: status HEALTHY",)), under_load=Account(("Serve: status HEALTHY",)),
        rule=ScalingRule(1, 3, 2.0), until_s=200.0, interval_s=1.0,
    )  # fmt: skip
    records = [
        record(
            i,
            at_s=10 + i,
            stage=1 if i < 80 else 2,
            ttft_s=0.4,
            replica="three" if i > 135 else "two" if i > 55 else "old",
        )
        for i in range(158)
    ]
    base: dict[str, Any] = {
        "profile": for_speed(load, REHEARSAL), "records": tuple(records), "removed_s": 170.0, "ended_s": 200.0,
        "known_replicas": ("old",), "watched": watched, "rehearsal": REHEARSAL,
    }  # fmt: skip
    return run(**(base | fields))


def deployed(*, before_s: float = 200.0) -> Run:
    """The first replica of `clustered` and its head, as a watch from before saw them until `before_s`; nobody was asked."""
    whole = clustered(deployment=True, records=(), asks=False)
    assert whole.watched is not None
    head = [
        Event(stage, 11.0, "test", "head:h") for stage in HEAD if stage not in ("load-applied", "ray-demand-raised")
    ]
    seen = [event for event in whole.watched.events if "three" not in event.subject] + head
    early = tuple(event for event in seen if event.at_s < before_s)
    return replace(whole, watched=replace(whole.watched, events=early))


def _came(name: str, at_s: float, level: float, stages: tuple[str, ...]) -> list[Event]:
    """A replica's links, each some seconds after the one before."""
    subjects = {
        "pod-created": "pod", "pod-scheduled": "pod", "image-pulled": "pod", "container-started": "pod", "pod-deleted": "pod",
        "ray-node-idle": "pod", "nodeclaim-created": "nodeclaim", "node-launched": "nodeclaim", "ray-node-joined": "ip",
        "replica-started": "replica", "model-loaded": "replica", "replica-running": "replica", "replica-drained": "replica",
    }  # fmt: skip
    shared = {
        "serve-target-raised": (level, level + 1),
        "ray-demand-raised": (level, level + 1),
        "serve-target-lowered": None,
    }
    found = []
    for stage in stages:
        if stage in ("load-applied", "load-removed", "first-token"):
            continue
        at_s += _TOOK_S.get(stage, 1)
        subject = "" if stage in shared else f"{subjects.get(stage, 'node')}:{name}"
        found.append(Event(stage, at_s, "test", subject, step=shared.get(stage)))
    return found
