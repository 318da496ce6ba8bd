import json

import pytest
from starlette.types import Receive, Scope, Send

from serving.api.middleware.identity import Identity
from serving.api.middleware.last_resort import LastResort
from tests.support import asgi
from tests.support.api import ScriptedApi
from tests.support.scripted_engine import ScriptedEngine


class _BrokenEngine(ScriptedEngine):
    def submit(self, requests: object) -> list[object]:  # type: ignore[override]
        raise RuntimeError("a secret path")


async def test_what_nobody_foresaw_is_a_500_without_internals_and_a_log_line_with_the_request_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = ScriptedApi(_BrokenEngine())
    answer = await api.http.post(
        "/v1/chat/completions", json={"model": "scripted", "messages": [{"role": "user", "content": "x"}]}
    )
    assert answer.status_code == 500
    assert json.loads(answer.text)["error"]["type"] == "server_error"
    assert "secret" not in answer.text
    (record,) = [r for r in caplog.records if r.name == LastResort.__module__]
    assert record.exc_info is not None
    assert vars(record)["request_id"] == answer.headers["x-request-id"]


async def test_an_answer_that_has_begun_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    answer = await asgi.http_client(Identity(LastResort(app), replica_id="r")).get("/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert len(caplog.records) == 1


async def test_an_app_that_fails_before_any_layer_answers_is_answered_for() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    assert (await asgi.http_client(Identity(LastResort(app), replica_id="r")).get("/")).status_code == 500
