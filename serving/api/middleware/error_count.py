"""Answers that are an error are counted, whoever made them: by their status line, or as late ones."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.failures import late_status
from serving.telemetry.metrics import HTTP_ERRORS, HTTP_LATE_ERRORS, Sink


class ErrorCount:
    """Counts status lines of 400 and more, and answers that failed after theirs had gone out."""

    def __init__(self, app: ASGIApp, *, sink: Sink) -> None:
        self._app = app
        self._sink = sink

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch the status line go by, and ask at the end what became of the answer."""
        counted = False

        async def send_counted(message: Message) -> None:
            nonlocal counted
            if message["type"] == "http.response.start" and message["status"] >= 400:
                counted = True
                self._sink.add(HTTP_ERRORS, labels={"status": str(message["status"])})
            await send(message)

        await self._app(scope, receive, send_counted)
        late = late_status(scope)
        if late is not None and not counted:
            self._sink.add(HTTP_LATE_ERRORS, labels={"status": str(late)})
