"""HAProxy reloads whenever a replica comes or goes: what that does to long streams and to connections that are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import httpx
import openai
import pytest

from tests.e2e.local_deployment import LocalDeployment, free_port
from tests.e2e.streams import stream

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

TOKENS = 7000  # at 50 a second: 140 s, past the 120 s after which HAProxy by itself cuts what a reload left behind
CLIENTS = 16
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def long_answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    settings = ("--set", "runner.positions=8192", "--set", "deployment.ray_actor_options={num_cpus: 0.5}")
    deployment = LocalDeployment(tmp_path_factory.mktemp("cache"), free_port(), settings)
    try:
        deployed = deployment.deploy(*_replicas(1))
        assert deployed.returncode == 0, deployed.stderr
        yield deployment
    finally:
        deployment.destroy()


async def test_a_stream_of_140_s_survives_reloads(long_answers: LocalDeployment) -> None:
    model = long_answers.model()
    async with httpx.AsyncClient(base_url=long_answers.base_url, timeout=60) as http:
        began_s = time.monotonic()
        streaming = asyncio.create_task(stream(http, model, max_tokens=TOKENS, ignore_eos=True))
        await asyncio.sleep(3)
        await _scale(long_answers, 2)
        outcome = await streaming
    assert outcome.complete
    assert time.monotonic() - began_s > 130


async def test_openai_clients_ride_over_reloads_by_their_own_retries(
    long_answers: LocalDeployment, record_property: Callable[[str, object], None]
) -> None:
    """Counts what would be seen without retries, which depends on the moment, and shows that two are enough."""
    model = long_answers.model()
    await _scale(long_answers, 1)
    bare = openai.AsyncOpenAI(base_url=f"{long_answers.base_url}/v1", api_key="none", max_retries=0)
    usual = openai.AsyncOpenAI(base_url=f"{long_answers.base_url}/v1", api_key="none")
    async with bare, usual:
        stop = asyncio.Event()
        asking = [asyncio.create_task(_ask(client, model, stop)) for client in (bare, usual) for _ in range(CLIENTS)]
        await _scale(long_answers, 2)
        await asyncio.sleep(2)
        stop.set()
        results = await asyncio.gather(*asking)
    seen, hidden = results[:CLIENTS], results[CLIENTS:]
    record_property("without_retries", f"{_failed(seen)} of {_asked(seen)} requests found a closed connection")
    record_property("with_the_client's_own", f"{_failed(hidden)} of {_asked(hidden)}")
    assert _failed(hidden) == 0


def _asked(results: Sequence[tuple[int, int]]) -> int:
    return sum(asked for asked, _ in results)


def _failed(results: Sequence[tuple[int, int]]) -> int:
    return sum(failed for _, failed in results)


async def _ask(client: openai.AsyncOpenAI, model: str, stop: asyncio.Event) -> tuple[int, int]:
    """Short chats over kept connections; how many there were, and how many found their connection closed."""
    asked = failed = 0
    while not stop.is_set():
        asked += 1
        try:
            await client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Hello."}], max_tokens=1
            )
        except openai.RateLimitError:
            asked -= 1  # refused, which is another matter
        except openai.APIConnectionError:
            failed += 1
        await asyncio.sleep(0.1)
    return asked, failed


async def _scale(deployment: LocalDeployment, replicas: int) -> None:
    """By another Serve config, as a reload needs no restart; returns when Serve has followed."""
    deployed = await asyncio.to_thread(deployment.deploy, *_replicas(replicas))
    assert deployed.returncode == 0, deployed.stderr
    deadline_s = time.monotonic() + LIMIT_S
    while len(await asyncio.to_thread(deployment.replicas)) != replicas:
        assert time.monotonic() < deadline_s, f"there were never {replicas} replicas"
        await asyncio.sleep(1)


def _replicas(count: int) -> tuple[str, str]:
    return "--set", f"deployment.autoscaling_config={{min_replicas: {count}, max_replicas: {count}}}"
