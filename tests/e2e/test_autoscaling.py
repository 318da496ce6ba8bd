"""Requests that wait are seen by Ray: one replica becomes two, and every request on the way is answered."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.e2e.local_deployment import LocalDeployment
from tests.e2e.streams import stream

pytestmark = pytest.mark.ray

LIMIT_S = 90.0
LOAD_S = 25.0  # at least: also past the second replica's coming


async def test_waiting_requests_bring_a_second_replica(own_folder: LocalDeployment) -> None:
    deployed = own_folder.deploy(
        *("--set", "runner.slots=4", "--set", "engine.queue_length=16"),
        *("--set", "deployment.autoscaling_config={target_ongoing_requests: 3, upscale_delay_s: 1}"),
        *("--set", "deployment.ray_actor_options={num_cpus: 0.5}"),
    )
    assert deployed.returncode == 0, deployed.stderr
    model = own_folder.model()
    limits = httpx.Limits(max_connections=12)
    async with httpx.AsyncClient(base_url=own_folder.base_url, timeout=120, limits=limits) as http:
        grown = asyncio.Event()
        clients = [asyncio.create_task(_ask_until(http, model, time.monotonic() + LOAD_S, grown)) for _ in range(12)]
        deadline_s = time.monotonic() + LIMIT_S
        while len(await asyncio.to_thread(own_folder.replicas)) < 2:
            assert time.monotonic() < deadline_s, "there was never a second replica"
            await asyncio.sleep(1)
        grown.set()
        assert all(await asyncio.gather(*clients))


async def _ask_until(http: httpx.AsyncClient, model: str, not_before_s: float, grown: asyncio.Event) -> bool:
    """One after the other, as long as it takes; whether each was answered whole."""
    while time.monotonic() < not_before_s or not grown.is_set():
        # So short that whoever waits for three before it is not refused for waiting, on a busy machine either.
        if not (await stream(http, model, max_tokens=50, ignore_eos=True)).complete:
            return False
    return True
