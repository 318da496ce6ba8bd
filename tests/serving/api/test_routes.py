import json

from serving.api.app import build_routes
from serving.errors import Unavailable
from tests.support import asgi
from tests.support.api import ScriptedApi, frontend


def _not_ready() -> None:
    raise Unavailable("This replica is shutting down.", retry_after_s=5.0)


async def test_the_model_list_holds_the_served_model() -> None:
    client = ScriptedApi().openai()
    (model,) = (await client.models.list()).data
    assert model.id == "scripted"
    assert (await client.models.retrieve("scripted")).created == model.created


async def test_another_models_entry_is_a_404() -> None:
    answer = await ScriptedApi().http.get("/v1/models/some/other")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


async def test_a_process_that_cannot_answer_is_alive_but_not_ready() -> None:
    app = build_routes(frontend(), check_ready=_not_ready, exposition=None, mount_page=None)
    http = asgi.http_client(app)
    assert (await http.get("/health")).status_code == 200
    ready = await http.get("/ready")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "5")


async def test_a_process_that_answers_is_ready() -> None:
    assert (await ScriptedApi().http.get("/ready")).json() == {"status": "ready"}


async def test_metrics_are_there_only_where_nobody_else_exports_them() -> None:
    assert (await ScriptedApi().http.get("/metrics")).status_code == 404
    app = build_routes(frontend(), check_ready=_not_ready, exposition=lambda: b"x 1\n", mount_page=None)
    answer = await asgi.http_client(app).get("/metrics")
    assert (answer.text, answer.headers["content-type"]) == ("x 1\n", "text/plain; version=0.0.4; charset=utf-8")


async def test_unknown_paths_and_methods_are_answered_in_openais_shape() -> None:
    http = ScriptedApi().http
    missing, wrong = await http.get("/v1/nothing"), await http.get("/v1/chat/completions")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert set(missing.json()["error"]) == {"message", "type", "param", "code"}
    assert "/v1/nothing" in missing.json()["error"]["message"]
    assert wrong.headers["allow"] == "POST"


async def test_the_schema_describes_the_endpoints_and_no_page_loads_foreign_scripts() -> None:
    http = ScriptedApi().http
    schema = (await http.get("/openapi.json")).json()
    assert "ChatCompletionRequest" in json.dumps(schema["paths"]["/v1/chat/completions"])
    assert (await http.get("/docs")).status_code == 404
