"""The parts of a replica that need no Ray: its threads, and its request id."""

from __future__ import annotations

import httpx
import pytest
from ray.serve._private.http_util import RequestIdMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serving.replica import SingleRequestId, with_threads
from serving.settings import load


@pytest.mark.parametrize(("num_cpus", "threads"), [(2.0, 2), (1.5, 1), (0.5, 1)])
def test_a_replica_takes_as_many_threads_as_it_has_cpus(num_cpus: float, threads: int) -> None:
    assert with_threads(load(), num_cpus).runner.threads == threads


def test_threads_that_were_asked_for_stay() -> None:
    assert with_threads(load({"runner": {"threads": 3}}), 1.0).runner.threads == 3


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("", headers={"x-request-id": "ours", "x-replica-id": "r"})


@pytest.mark.parametrize("brought", ["ours", "another", "a strange one!"])
async def test_an_answer_carries_serves_request_id_alone(brought: str) -> None:
    app = RequestIdMiddleware(SingleRequestId(Starlette(routes=[Route("/", answer)])))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        response = await http.get("/", headers={"x-request-id": brought})
    assert response.headers.get_list("x-request-id") == [brought]
    assert response.headers["x-replica-id"] == "r"
