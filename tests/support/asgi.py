"""The official client against an ASGI app in this process: bodies stream, and closing a response is a disconnect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx2
import openai
from starlette.types import ASGIApp

Message = MutableMapping[str, Any]


class StreamingTransport(httpx2.AsyncBaseTransport):
    """httpx2's own ASGI transport hands a body on only when it is complete."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await Exchange(self._app, request.method, request.url, request.headers, await request.aread()).response()


class Exchange(httpx2.AsyncByteStream):
    """One request and its response; the app runs in `task`."""

    def __init__(self, app: ASGIApp, method: str, url: httpx2.URL, headers: httpx2.Headers, body: bytes) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "headers": [(name.lower(), value) for name, value in headers.raw],
            "scheme": "http",
            "path": url.path,
            "raw_path": url.raw_path,
            "query_string": url.query,
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        self._to_receive: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self._gone = asyncio.Event()
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._call(app, scope))

    async def response(self) -> httpx2.Response:
        start = await self._sent.get()
        if start is None:
            await self.task  # raises what the app raised
            raise AssertionError("the app ended without an answer")
        return httpx2.Response(start["status"], headers=start["headers"], stream=self)

    def leave(self) -> None:
        """The client closes its connection."""
        self._gone.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self._sent.get()) is not None:
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                return

    async def aclose(self) -> None:
        self.leave()
        await self.task

    async def _call(self, app: ASGIApp, scope: Message) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._sent.put_nowait(None)

    async def _receive(self) -> Message:
        if self._to_receive:
            return self._to_receive.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._sent.put_nowait(message)
        await asyncio.sleep(0)


def http_client(app: ASGIApp) -> httpx2.AsyncClient:
    """A bare HTTP client of `app`."""
    return httpx2.AsyncClient(transport=StreamingTransport(app), base_url="http://testserver")


def openai_client(app: ASGIApp, *, api_key: str = "unused") -> openai.AsyncOpenAI:
    """OpenAI's own client of `app`; it does not try again by itself."""
    return openai.AsyncOpenAI(
        base_url="http://testserver/v1", api_key=api_key, http_client=http_client(app), max_retries=0
    )


def get(app: ASGIApp, path: str) -> Exchange:
    """A request whose task the test holds in its own hands."""
    return Exchange(app, "GET", httpx2.URL(f"http://testserver{path}"), httpx2.Headers(), b"")


def post(app: ASGIApp, path: str, body: dict[str, Any]) -> Exchange:
    """A request whose connection the test holds in its own hands."""
    headers = httpx2.Headers({"content-type": "application/json"})
    return Exchange(app, "POST", httpx2.URL(f"http://testserver{path}"), headers, json.dumps(body).encode())
