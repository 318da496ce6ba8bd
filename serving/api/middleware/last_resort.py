"""What nobody foresaw ends here: in the log, with its request id and its traceback, and not in the server's hands."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.failures import error_response, note_late

_log = logging.getLogger(__name__)


class LastResort:
    """Logs an exception and answers 500, unless the answer has begun: then the connection breaks off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let everything pass but exceptions."""
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:  # noqa: BLE001 - a bug in one request must not take the server's loop along
            request_id = scope.get("state", {}).get("request_id")
            _log.exception("request failed unforeseen", extra={"request_id": request_id})
            if started:
                note_late(scope, error)
            else:
                await error_response(error)(scope, receive, send)
