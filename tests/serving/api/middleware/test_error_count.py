from __future__ import annotations

import pytest
from starlette.types import Receive, Scope, Send

from serving.api.failures import note_late
from serving.api.middleware.error_count import ErrorCount
from serving.api.middleware.identity import Identity
from serving.api.middleware.last_resort import LastResort
from serving.errors import GenerationFailed
from tests.support import asgi
from tests.support.api import CountingSink


class _App:
    """Answers with a status line, then may fail, in words or without."""

    def __init__(self, status: int, *, says: Exception | None = None, raises: Exception | None = None) -> None:
        self.status, self.says, self.raises = status, says, raises

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        if self.raises:
            raise self.raises
        if self.says:
            note_late(scope, self.says)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.mark.parametrize(
    ("app", "counted"),
    [
        (_App(200), {}),
        (_App(404), {("http_errors_total", (("status", "404"),)): 1}),
        (_App(200, says=GenerationFailed("It broke.")), {("http_late_errors_total", (("status", "500"),)): 1}),
        (_App(200, raises=RuntimeError()), {("http_late_errors_total", (("status", "500"),)): 1}),
        (_App(500, raises=RuntimeError()), {("http_errors_total", (("status", "500"),)): 1}),
    ],
    ids=["no error", "by status", "by an event", "broken off", "answered, and raised again as Starlette does"],
)
async def test_every_answer_that_is_an_error_is_counted_once(app: _App, counted: dict[object, float]) -> None:
    sink = CountingSink()
    await asgi.http_client(Identity(ErrorCount(LastResort(app), sink=sink), replica_id="r")).get("/")
    assert sink.counted == counted
