"""Writing one answer to its connection, whole or as server-sent events.

Both watch the connection while they wait: a client who leaves ends the generations before the next step. Both raise an
early failure instead of answering, so that it gets a status line of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.api.call import Call
from serving.api.failures import error_object, note_late
from serving.api.shapes import event
from serving.chat.answer import Delta
from serving.errors import GenerationFailed, Unavailable

HEARTBEAT = b": still working\n\n"
DONE = b"data: [DONE]\n\n"
_FOREVER_S = 3600.0  # the engine ends every answer long before


@asynccontextmanager
async def connection(receive: Receive, call: Call) -> AsyncIterator[None]:
    """Abort `call` when its client leaves, and in any case at the end.

    What becomes of the answer after the client has left is no failure: there is nobody to tell.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        call.client_left()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:  # Ray Serve cancels the handler of a client who left
        call.client_left()
        raise
    except (GenerationFailed, Unavailable):
        if not call.left:
            raise
    finally:
        watcher.cancel()
        call.answer.abort()


class WholeAnswer(Response):
    """The answer as one JSON object, once every choice is complete."""

    def __init__(self, call: Call) -> None:
        super().__init__(media_type="application/json")
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gather and send. Raises GenerationFailed or Unavailable."""
        call = self._call
        choices: list[list[Delta]] = [[] for _ in call.answer.choices]
        async with connection(receive, call):
            while not call.answer.complete:
                for delta in await call.answer.take(_FOREVER_S):
                    choices[delta.index].append(delta)
            body = json.dumps(call.shape.whole(choices, call.usage)).encode()
            await Response(body, media_type="application/json")(scope, receive, send)


class StreamedAnswer(Response):
    """The answer as server-sent events: a heartbeat while it is silent, an error event when it fails half-way."""

    def __init__(self, call: Call, *, first_byte_wait_s: float, heartbeat_s: float, usage: bool) -> None:
        super().__init__(
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"}, media_type="text/event-stream"
        )
        del self.headers["content-length"]  # of a body that is not known yet
        self._call = call
        self._first_byte_wait_s = first_byte_wait_s
        self._heartbeat_s = heartbeat_s
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the first token, then write. Raises GenerationFailed or Unavailable before the status line."""
        async with connection(receive, self._call):
            deltas = await self._call.answer.take(self._first_byte_wait_s)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            self._call.started = True
            await self._write(deltas, scope, send)

    async def _write(self, deltas: Sequence[Delta], scope: Scope, send: Send) -> None:
        answer, shape = self._call.answer, self._call.shape
        await _send(send, shape.opening() + self._frames(deltas))
        try:
            while not answer.complete:
                await _send(send, self._frames(await answer.take(self._heartbeat_s)))
        except (GenerationFailed, Unavailable) as failure:
            if self._call.left:
                raise  # there is nobody to tell
            note_late(scope, failure)
            await _send(send, event(error_object(failure)), more=False)
            return
        ending = shape.usage_frame(self._call.usage) if self._usage else b""
        await _send(send, ending + DONE, more=False)

    def _frames(self, deltas: Sequence[Delta]) -> bytes:
        if not deltas:
            return b"" if self._call.answer.complete else HEARTBEAT
        return b"".join(map(self._call.shape.frame, deltas))


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    if body or not more:
        await send({"type": "http.response.body", "body": body, "more_body": more})
