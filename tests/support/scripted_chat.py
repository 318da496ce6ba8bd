"""An OpenAI-shaped API whose answers a test writes down beforehand, step by step, and that says what its clients did."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

MODEL = "test-model"


@dataclass(frozen=True, slots=True)
class Say:
    """One chunk of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes of the stream as they are: heartbeats, error events, nonsense."""

    text: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing more until the test calls `proceed`, or until the client leaves."""


@dataclass(frozen=True, slots=True)
class Break:
    """The connection ends here, in the middle of the body."""


@dataclass(frozen=True, slots=True)
class End:
    """The last chunks of a whole answer: finish reason, usage, [DONE]."""

    finish_reason: str = "stop"
    completion_tokens: int = 7


Step = Say | Raw | Hold | Break | End


@dataclass(frozen=True, slots=True)
class Refuse:
    """An answer with an error status instead of a stream."""

    status: int
    body: str
    media_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def openai(cls, status: int, message: str, *, code: str | None = None, **headers: str) -> Refuse:
        """In OpenAI's shape; `retry_after="7"` becomes the header Retry-After."""
        error = {"message": message, "type": "error", "param": None, "code": code}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps({"error": error}), "application/json", names)


Script = Sequence[Step] | Refuse


@dataclass(slots=True)
class Call:
    """One chat request as it arrived."""

    body: dict[str, Any]
    authorization: str | None
    left: threading.Event = field(default_factory=threading.Event)  # set when the client closed before the end


class ScriptedChat:
    """The ASGI app. `answer_with` queues scripts, one for each chat request; `calls` lists the requests."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget scripts and calls, as if new."""
        self.models: list[str] | Refuse = [MODEL]
        self.api_key: str | None = None  # None: no key is asked for
        self.fingerprint = "fp_test"
        self.calls: list[Call] = []
        self._scripts: deque[Script] = deque()
        self._permits = asyncio.Semaphore(0)
        self._loop: asyncio.AbstractEventLoop | None = None  # None until the first request

    def answer_with(self, *steps: Step) -> None:
        """The next chat request gets this stream."""
        self._scripts.append(steps)

    def refuse_with(self, refusal: Refuse) -> None:
        """The next chat request gets this status."""
        self._scripts.append(refusal)

    def proceed(self) -> None:
        """Let one `Hold` pass; callable from any thread."""
        assert self._loop is not None, "nobody has asked yet"
        self._loop.call_soon_threadsafe(self._permits.release)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        request = Request(scope, receive)
        if self.api_key is not None and request.headers.get("authorization") != f"Bearer {self.api_key}":
            refusal = Refuse.openai(401, "Send a key of this server as `Authorization: Bearer …`")
            await _refusal(refusal)(scope, receive, send)
        elif request.url.path.endswith("/models"):
            await self._list_models()(scope, receive, send)
        else:
            await self._chat(request, send)

    def _list_models(self) -> Response:
        if isinstance(self.models, Refuse):
            return _refusal(self.models)
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def _chat(self, request: Request, send: Send) -> None:
        call = Call(await request.json(), request.headers.get("authorization"))
        self.calls.append(call)
        script: Script = self._scripts.popleft() if self._scripts else (Say("An answer."), End())
        if isinstance(script, Refuse):
            await _refusal(script)(request.scope, request.receive, send)
            return
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for step in script:
            if isinstance(step, Hold) and not await self._held(request):
                call.left.set()
                return
            if isinstance(step, Break):
                raise ConnectionAbortedError("as the script says")
            await send({"type": "http.response.body", "body": self._frame(step).encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _held(self, request: Request) -> bool:
        """True when the test let it pass, False when the client left."""
        permit = asyncio.ensure_future(self._permits.acquire())
        gone = asyncio.ensure_future(request.receive())
        done, pending = await asyncio.wait({permit, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return permit in done

    def _frame(self, step: Step) -> str:
        if isinstance(step, Raw):
            return step.text
        if isinstance(step, Say):
            return self._chunk(choices=[{"index": 0, "delta": {"content": step.text}, "finish_reason": None}])
        if isinstance(step, End):
            usage = {"prompt_tokens": 5, "completion_tokens": step.completion_tokens}
            finish = self._chunk(choices=[{"index": 0, "delta": {}, "finish_reason": step.finish_reason}])
            return finish + self._chunk(choices=[], usage=usage) + "data: [DONE]\n\n"
        return ""

    def _chunk(self, **fields: Any) -> str:
        return f"data: {json.dumps({'model': MODEL, 'system_fingerprint': self.fingerprint, **fields})}\n\n"


def _refusal(refusal: Refuse) -> Response:
    return Response(refusal.body, refusal.status, dict(refusal.headers), refusal.media_type)


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """Serve `app` on a free loopback port, in a thread; gives the address, without a slash at its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(timeout=60)
            assert not thread.is_alive(), "the server did not stop"
