"""What becomes of one streamed request, without mercy for what a client library would forgive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Outcome:
    """Of one request."""

    status: int | None  # None when there was no status line
    body: dict[str, Any] | None = None  # of an answer other than 200
    retry_after: str | None = None
    replica: str | None = None
    tokens: int = 0
    done: bool = False  # [DONE] came
    error_event: bool = False
    broken: bool = False  # the connection ended before the answer did

    @property
    def complete(self) -> bool:
        return self.status == 200 and self.done and not self.error_event

    @property
    def refused_properly(self) -> bool:
        error = (self.body or {}).get("error", {})
        return (
            self.status in (429, 503)
            and set(error) == {"message", "type", "param", "code"}
            and (self.retry_after or "").isdecimal()
        )

    @property
    def silently_cut(self) -> bool:
        """The one outcome that may never be: a 200 that stops as if it were complete."""
        return self.status == 200 and not (self.done or self.error_event or self.broken)


async def stream(http: httpx.AsyncClient, model: str, *, begun: asyncio.Event | None = None, **fields: Any) -> Outcome:
    """One streamed chat, to its end; `begun` is set when its first piece is there."""
    body = {"model": model, "messages": [{"role": "user", "content": "Tell me."}], "stream": True, **fields}
    seen: dict[str, Any] = {"status": None}
    try:
        async with http.stream("POST", "/v1/chat/completions", json=body) as response:
            seen |= {"status": response.status_code, "replica": response.headers.get("x-replica-id")}
            if response.status_code != 200:
                answer = json.loads(await response.aread())
                return Outcome(**seen, body=answer, retry_after=response.headers.get("retry-after"))
            async for event in _events(response):
                seen["done"] = seen.get("done", False) or event is None
                seen["tokens"] = seen.get("tokens", 0) + (event is not None and bool(event.get("choices")))
                if begun is not None and seen["tokens"]:
                    begun.set()
                seen["error_event"] = seen.get("error_event", False) or (event is not None and "error" in event)
    except httpx.HTTPError:
        return Outcome(**seen, broken=True)
    return Outcome(**seen)


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any] | None]:
    """Each event's JSON; None for [DONE]."""
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            data = line[5:].strip()
            yield None if data == "[DONE]" else json.loads(data)
