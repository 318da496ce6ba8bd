"""Whoever uses `/v1` shows a key, where keys are set up; health, metrics and the page's files are open."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.api.auth import KeyFile
from serving.api.failures import error_response
from serving.errors import Unauthenticated


class Authentication:
    """Sets `scope["state"]["key"]` to the key's name; answers 401 without a good one."""

    def __init__(self, app: ASGIApp, *, keys: KeyFile) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let whoever has a key pass."""
        if scope["type"] != "http" or not _guarded(scope):
            await self._app(scope, receive, send)
            return
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        owner = self._keys.owner(key.strip()) if scheme.lower() == "bearer" else None
        if owner is None:
            message = "Send a valid API key in the header `Authorization: Bearer KEY`."
            await error_response(Unauthenticated(message, code="invalid_api_key"))(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = owner
        await self._app(scope, receive, send)


def _guarded(scope: Scope) -> bool:
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    return path == "/v1" or path.startswith("/v1/")
