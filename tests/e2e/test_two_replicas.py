"""Load and failure behind HAProxy: 64 clients on two replicas, and a replica that dies under its streams."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter

import httpx
import pytest

from tests.e2e.local_deployment import LocalDeployment
from tests.e2e.streams import Outcome, stream

pytestmark = pytest.mark.ray

BEGIN_S = 60.0
RESTART_S = 60.0


async def test_64_clients_get_whole_answers_or_proper_refusals(two_replicas: LocalDeployment) -> None:
    model = two_replicas.model()
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=two_replicas.base_url, timeout=60, limits=limits) as http:
        outcomes = await asyncio.gather(
            # Long enough that the last of them have asked before the first have theirs: somebody has to be refused.
            *(stream(http, model, max_tokens=100, ignore_eos=True, seed=client) for client in range(64))
        )
    wrong = [outcome for outcome in outcomes if not (outcome.complete or outcome.refused_properly)]
    assert wrong == []
    replicas = Counter(outcome.replica for outcome in outcomes if outcome.complete)
    assert len(replicas) == 2
    assert sum(replicas.values()) >= 32  # all the slots and all the places in the queues
    assert any(outcome.refused_properly for outcome in outcomes)


async def test_a_killed_replica_ends_its_streams_and_is_replaced(two_replicas: LocalDeployment) -> None:
    model = two_replicas.model()
    victim = two_replicas.replicas()[0]  # asked beforehand: that may take as long as the streams
    async with httpx.AsyncClient(base_url=two_replicas.base_url, timeout=60) as http:
        begun = [asyncio.Event() for _ in range(8)]
        streams = [
            asyncio.create_task(stream(http, model, begun=event, max_tokens=400, ignore_eos=True, seed=client))
            for client, event in enumerate(begun)
        ]
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in begun)), BEGIN_S)
        os.kill(victim["pid"], signal.SIGKILL)
        outcomes = await asyncio.gather(*streams)
        died = [outcome for outcome in outcomes if outcome.replica == victim["id"]]
        lived = [outcome for outcome in outcomes if outcome.replica != victim["id"]]
        assert died
        assert all(outcome.error_event or outcome.broken for outcome in died)
        assert lived
        assert all(outcome.complete for outcome in lived)
        assert (await _answered_within(http, model, RESTART_S)).complete
    await _two_replicas_again(two_replicas, RESTART_S)


async def _answered_within(http: httpx.AsyncClient, model: str, limit_s: float) -> Outcome:
    deadline_s = time.monotonic() + limit_s
    while True:
        outcome = await stream(http, model, max_tokens=5)
        if outcome.complete or time.monotonic() > deadline_s:
            return outcome
        await asyncio.sleep(0.5)


async def _two_replicas_again(deployment: LocalDeployment, limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    while len(deployment.replicas()) < 2:
        assert time.monotonic() < deadline_s, "the killed replica was not replaced"
        await asyncio.sleep(1)
