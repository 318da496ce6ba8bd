"""Answers with an error as their status line are counted, whoever made them."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.telemetry.metrics import HTTP_ERRORS, Sink


class ErrorCount:
    """Counts status lines of 400 and more."""

    def __init__(self, app: ASGIApp, *, sink: Sink) -> None:
        self._app = app
        self._sink = sink

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch the status line go by."""

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                self._sink.add(HTTP_ERRORS, labels={"status": str(message["status"])})
            await send(message)

        await self._app(scope, receive, send_counted)
