"""Every answer says which request it belongs to and which replica made it."""

from __future__ import annotations

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STRANGE = re.compile(r"[^A-Za-z0-9._:-]")
_LONGEST = 128


class Identity:
    """Sets `scope["state"]["request_id"]` and both headers.

    A client's own id is kept, as far as it is sane: so that its answer and our log line can be recognised by it.
    """

    def __init__(self, app: ASGIApp, *, replica_id: str) -> None:
        self._app = app
        self._replica_id = replica_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request on its way down and the answer on its way up."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        brought = Headers(scope=scope).get("x-request-id", "")
        request_id = _STRANGE.sub("_", brought[:_LONGEST]) or uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-replica-id"] = self._replica_id
            await send(message)

        await self._app(scope, receive, send_signed)
