"""Request bodies are read here, whole and up to a limit, before anything looks at them."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.failures import error_response
from serving.errors import BodyTooLarge

_DRAINED = 8  # times the limit: a client in the middle of sending reads the answer and not a connection reset


class BodyLimit:
    """Answers 413 to a larger body; else hands it on in one piece."""

    def __init__(self, app: ASGIApp, *, longest_body_bytes: int) -> None:
        self._app = app
        self._limit = longest_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then go on or refuse."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body = await self._read(receive, announced=Headers(scope=scope).get("content-length", ""))
        if body is None:
            refusal = error_response(BodyTooLarge(f"The body is larger than {self._limit} bytes: send less."))
            refusal.headers["connection"] = "close"
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive, *, announced: str) -> bytes | None:
        """The body, or None when it is too large."""
        pieces: list[bytes] = []
        size, more = 0, True
        too_large = announced.isdigit() and len(announced) < 20 and int(announced) > self._limit
        while more and size <= self._limit * _DRAINED:
            message = await receive()
            piece = message.get("body", b"")
            size += len(piece)
            too_large = too_large or size > self._limit
            if not too_large:
                pieces.append(piece)
            more = message.get("more_body", False)  # false of a disconnect, too
        return None if too_large else b"".join(pieces)


def _replay(body: bytes, receive: Receive) -> Receive:
    replayed = False

    async def receive_again() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
