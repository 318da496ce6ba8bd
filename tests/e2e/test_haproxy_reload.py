"""HAProxy reloads whenever a replica comes or goes: what that does to long streams and to connections that are kept."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import httpx2
import openai
import pytest

from tests.e2e.local_deployment import LocalDeployment
from tests.e2e.streams import stream
from tests.support.ports import free_port

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

TOKENS = 7000  # at 50 a second: 140 s, past the 120 s after which HAProxy by itself cuts what a reload left behind
CLIENTS = 16
LIMIT_S = 60.0
SETTLED_S = 3.0
KEPT_S = 90.0  # keep_alive_timeout_s of Serve's config, where it says nothing
MESSAGE: Any = {"role": "user", "content": "Hello."}


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
    async with httpx.AsyncClient(base_url=long_answers.base_url, timeout=60) as client:
        began_s = time.monotonic()
        streaming = asyncio.create_task(stream(client, model, max_tokens=TOKENS, ignore_eos=True))
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


async def test_connections_kept_idle_over_reloads_fail_no_request(
    long_answers: LocalDeployment, record_property: Callable[[str, object], None]
) -> None:
    """One connection a client, opened before the first reload; asked after each of them, and never tried again.

    Clients that look before they write open a new connection where the old one was closed; `http.client` never looks.
    """
    model = long_answers.model()
    await _scale(long_answers, 1)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(kind(long_answers, model))
            for kind in (_openai_client, _httpx_client, _bare_client)
            for _ in range(CLIENTS)
        ]
        assert await _failures(clients) == []
        failures: list[str] = []
        for replicas in (2, 1, 2):
            began_s = time.monotonic()
            await _scale(long_answers, replicas)
            await asyncio.sleep(SETTLED_S)  # the reload follows the replica
            idle_s = time.monotonic() - began_s
            assert idle_s < KEPT_S, "the deploy took so long that HAProxy closed idle connections for their age"
            failures += [f"to {replicas} after {idle_s:.0f} s: {failure}" for failure in await _failures(clients)]
    record_property("idle_connections", f"{len(failures)} of {3 * len(clients)} requests failed")
    assert failures == []


Ask = Callable[[], Awaitable[None]]  # one short chat on a connection of its own; raises where there is no answer


async def _failures(clients: Sequence[Ask]) -> list[str]:
    """Ask with each, few at a time so that nobody is refused for want of a slot; what went wrong."""
    few = asyncio.Semaphore(4)

    async def asked(ask: Ask) -> str | None:
        async with few:
            try:
                await ask()
            except (openai.APIError, httpx.HTTPError, http.client.HTTPException, OSError) as error:
                return repr(error)
        return None

    return [failure for failure in await asyncio.gather(*map(asked, clients)) if failure is not None]


@asynccontextmanager
async def _openai_client(deployment: LocalDeployment, model: str) -> AsyncIterator[Ask]:
    """OpenAI's own, which by itself would drop a connection after 5 s; its retries are off."""
    transport = openai.DefaultAsyncHttpxClient(limits=httpx2.Limits(keepalive_expiry=None))
    base_url = f"{deployment.base_url}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=transport) as client:

        async def ask() -> None:
            await client.chat.completions.create(model=model, messages=[MESSAGE], max_tokens=1)

        yield ask


@asynccontextmanager
async def _httpx_client(deployment: LocalDeployment, model: str) -> AsyncIterator[Ask]:
    limits = httpx.Limits(keepalive_expiry=None)
    async with httpx.AsyncClient(base_url=deployment.base_url, limits=limits, timeout=60) as client:

        async def ask() -> None:
            response = await client.post("/v1/chat/completions", json=_body(model))
            response.raise_for_status()

        yield ask


@asynccontextmanager
async def _bare_client(deployment: LocalDeployment, model: str) -> AsyncIterator[Ask]:
    """`http.client`, which writes to whatever it has; it opens a new connection only where a server announced the end."""
    connection = http.client.HTTPConnection("127.0.0.1", deployment.port, timeout=60)

    def post() -> None:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(_body(model)), headers)
        response = connection.getresponse()
        said = response.read()
        if response.status != 200:
            raise http.client.HTTPException(f"{response.status}: {said[:200]!r}")

    try:
        yield lambda: asyncio.to_thread(post)
    finally:
        connection.close()


def _body(model: str) -> dict[str, object]:
    return {"model": model, "messages": [MESSAGE], "max_tokens": 1}


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
            await client.chat.completions.create(model=model, messages=[MESSAGE], max_tokens=1)
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
