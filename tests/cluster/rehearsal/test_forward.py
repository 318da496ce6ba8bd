from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from cluster.client import Api
from cluster.rehearsal.forward import Choose, Endpoints, ready_endpoints, serve
from cluster.transport import Unreachable
from cluster.watch import Event, Listing


def test_ready_endpoints_are_those_that_take_new_connections() -> None:
    slices: list[dict[str, Any]] = [
        {
            "ports": [{"name": "serve", "port": 8000}],
            "endpoints": [
                {"addresses": ["10.88.8.3"], "conditions": {"ready": True}},
                {"addresses": ["10.88.8.2"], "conditions": {}},
                {"addresses": ["10.88.8.4"], "conditions": {"ready": False}},
            ],
        },
        {"ports": None, "endpoints": [{"addresses": ["10.88.8.5"]}]},
    ]
    assert ready_endpoints(slices) == [("10.88.8.2", 8000), ("10.88.8.3", 8000)]


def test_connections_go_to_the_endpoints_in_turn_and_a_gone_one_gets_none() -> None:
    endpoints = Endpoints()
    assert endpoints.choose() is None
    endpoints.update([("a", 1), ("b", 1)])
    assert [endpoints.choose() for _ in range(3)] == [("a", 1), ("b", 1), ("a", 1)]
    endpoints.update([("b", 1)])
    assert endpoints.choose() == ("b", 1)


class Left(Exception):
    """The test has seen enough."""


class Listed:
    """An API server with these lists, and then none."""

    def __init__(self, *lists: list[Mapping[str, Any]]) -> None:
        self._lists = list(lists)
        self.pace = self

    def listing(self, *_: object, **__: object) -> Listing:
        if not self._lists:
            raise Left
        return Listing(self._lists.pop(0), "1")

    def open_watch(self, *_: object, **__: object) -> Iterator[Event]:
        raise Unreachable("it does not answer")

    def back_off(self, _attempt: int) -> None:
        if not self._lists:
            raise Left


def test_endpoints_are_followed_again_whatever_ended_it() -> None:
    good = {"ports": [{"port": 8000}], "endpoints": [{"addresses": ["10.88.8.2"]}]}
    odd = {**good, "ports": [{"port": "eight"}]}
    endpoints = Endpoints()
    with pytest.raises(Left):
        endpoints.follow(cast(Api, Listed([odd], [good])))
    assert endpoints.choose() == ("10.88.8.2", 8000)


@asynccontextmanager
async def forwarded(choose: Choose) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(serve(listener, choose))
    try:
        yield listener.getsockname()[1]
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def test_bytes_and_their_end_pass_in_both_directions() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())  # reads to the end of the other side's half
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    target: tuple[str, int] = server.sockets[0].getsockname()
    async with server, forwarded(lambda: target) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"HELLO"
        writer.close()


async def test_without_an_endpoint_a_connection_is_reset() -> None:
    async with forwarded(lambda: None) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
