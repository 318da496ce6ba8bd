"""How a container comes by its image: what its record says meanwhile, and which events are told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

from cluster.rehearsal.kubelet.pod.back_off import BackOff
from cluster.rehearsal.kubelet.pod.state import Record

_SHOWN = 0.25  # of the back-off: so long a failed pull is shown as such, then as waiting for the next one


class Told(NamedTuple):
    """One event."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


class NotFound(Exception):
    """The registry has no such image; `str()` is what a container runtime says."""


class Arrival(NamedTuple):
    """When an image is on its node."""

    at: float
    pull_s: float
    is_first: bool  # this request started the pull


def pull(
    record: Record, image: str, ask: Callable[[], Arrival], back_off: BackOff, now: float
) -> tuple[Record, list[Told]]:
    """The next step. `ask` has the image brought or raises NotFound; it is not asked while it is backed off from."""
    if now < record.pull_retry_at:
        message = f'Back-off pulling image "{image}"'
        told = [Told("Normal", "BackOff", message), Told("Warning", "Failed", "Error: ImagePullBackOff")]
        return record.waits("ImagePullBackOff", message, not_before=record.pull_retry_at), told
    pulling = Told("Normal", "Pulling", f'Pulling image "{image}"')
    try:
        arrival = ask()
    except NotFound as error:
        failures = record.pull_failures + 1
        delay_s = back_off.delay_s(failures)
        waiting = record.waits("ErrImagePull", str(error), not_before=now + delay_s * _SHOWN)
        failed = Told("Warning", "Failed", f'Failed to pull image "{image}": {error}')
        after = dataclasses.replace(waiting, pull_failures=failures, pull_retry_at=now + delay_s)
        return after, [pulling, failed, Told("Warning", "Failed", "Error: ErrImagePull")]
    is_pulled = arrival.is_first or arrival.at > now
    after = dataclasses.replace(
        record, pulled_at=arrival.at, pull_failures=0, pull_s=arrival.pull_s if is_pulled else None
    )
    return after, [pulling] if is_pulled else []


def arrived(record: Record, image: str) -> Told:
    """What is told when a container is about to start from its image."""
    if record.pull_s is None:
        return Told("Normal", "Pulled", f'Container image "{image}" already present on machine')
    message = f'Successfully pulled image "{image}" in {record.pull_s:.3g}s (simulated by the scenario)'
    return Told("Normal", "Pulled", message)
