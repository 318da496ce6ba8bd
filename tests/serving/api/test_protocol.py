"""Every wrong field is a 400 that names it."""

from typing import Any

import pytest
from pydantic import ValidationError

from serving.api.protocol import CompletionRequest
from tests.support import asgi
from tests.support.api import ScriptedApi
from tests.support.scripted_engine import ON_DEVICE, ScriptedEngine

CHAT: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
COMPLETION: dict[str, Any] = {"model": "scripted", "prompt": "Hi"}


async def _error(path: str, body: dict[str, Any], *, engine: ScriptedEngine | None = None) -> dict[str, Any]:
    api = ScriptedApi(engine)
    answer = await api.http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-request-id"]
    assert api.engine.generations == []
    error: dict[str, Any] = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", []),
        ("messages", "Hi"),
        ("max_tokens", 0),
        ("max_tokens", "5"),
        ("max_completion_tokens", -1),
        ("temperature", 2.1),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_k", -2),
        ("min_p", 1.5),
        ("min_tokens", -1),
        ("min_tokens", 1000),
        ("ignore_eos", "yes"),
        ("stop", ""),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("stop", 7),
        ("stop", "a" * 1025),
        ("stop", ["b", "a" * 1025]),
        ("logit_bias", {"1" * 5000: 1}),
        ("seed", 1.5),
        ("seed", 2**63),
        ("n", 0),
        ("n", 9),
        ("presence_penalty", 2.5),
        ("frequency_penalty", -2.5),
        ("logit_bias", {"x": 1}),
        ("logit_bias", {"263": 1}),
        ("logit_bias", {"-1": 1}),
        ("logit_bias", {"5": 101}),
        ("logit_bias", {str(i): 1 for i in range(1025)}),
        ("logprobs", 3),
        ("top_logprobs", 3),
        ("stream", 1),
        ("stream_options", {"include_usage": True}),
        ("user", 5),
        ("model", 5),
    ],
)
async def test_a_wrong_chat_field_is_named(field: str, value: object) -> None:
    error = await _error("/v1/chat/completions", CHAT | {field: value})
    assert error["param"].split(".")[0].split("[")[0] == field
    assert field in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", []),
        ("prompt", [[]]),
        ("prompt", [5, 263]),
        ("prompt", 5),
        ("prompt", ["a", 5]),
        ("logprobs", 6),
        ("logprobs", True),
        ("max_tokens", 0),
        ("n", 9),
    ],
)
async def test_a_wrong_completion_field_is_named(field: str, value: object) -> None:
    error = await _error("/v1/completions", COMPLETION | {field: value})
    assert error["param"].split("[")[0] == field


async def test_a_flood_of_unknown_fields_is_refused_at_once() -> None:
    answer = await ScriptedApi().http.post("/v1/chat/completions", json=CHAT | {str(i): 1 for i in range(100)})
    assert answer.status_code == 400
    assert "102 fields" in answer.json()["error"]["message"]


async def test_a_long_list_of_wrong_items_is_refused_at_its_first() -> None:
    with pytest.raises(ValidationError) as raised:
        CompletionRequest(model="scripted", prompt=[True] * 1000)  # type: ignore[arg-type]
    assert raised.value.error_count() < 10


@pytest.mark.parametrize("missing", ["model", "messages"])
async def test_a_missing_field_is_named(missing: str) -> None:
    error = await _error("/v1/chat/completions", {k: v for k, v in CHAT.items() if k != missing})
    assert (error["param"], error["code"]) == (missing, "missing_required_parameter")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "tool", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": "x"}, {"role": "user", "content": 5}], "messages[1].content"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": "x", "name": "Ann"}], "messages[0].name"),
    ],
)
async def test_the_path_leads_to_the_wrong_part_of_a_message(messages: object, param: str) -> None:
    assert (await _error("/v1/chat/completions", CHAT | {"messages": messages}))["param"] == param


async def test_an_unknown_field_is_refused_and_not_ignored() -> None:
    error = await _error("/v1/chat/completions", CHAT | {"temprature": 1})
    assert (error["param"], error["code"]) == ("temprature", "unknown_parameter")


@pytest.mark.parametrize("field", ["tools", "response_format", "best_of", "echo", "suffix"])
async def test_a_field_of_openai_that_is_not_offered_says_why(field: str) -> None:
    error = await _error("/v1/completions", COMPLETION | {field: 1})
    assert (error["param"], error["code"]) == (field, "unsupported_parameter")


async def test_fields_that_contradict_each_other_are_refused() -> None:
    error = await _error("/v1/chat/completions", CHAT | {"max_tokens": 1, "max_completion_tokens": 1})
    assert "not both" in error["message"]


async def test_a_prompt_too_long_is_told_both_numbers() -> None:
    messages = [{"role": "user", "content": "x" * 200}]
    error = await _error("/v1/chat/completions", CHAT | {"messages": messages})
    assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")
    assert "at most 90" in error["message"]


async def test_an_answer_longer_than_what_is_left_names_the_field_that_asked_for_it() -> None:
    error = await _error("/v1/chat/completions", CHAT | {"max_completion_tokens": 99})
    assert (error["param"], error["code"]) == ("max_completion_tokens", "context_length_exceeded")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 1),
        ("seed", 0),
        ("logprobs", True),
        ("presence_penalty", 0.5),
        ("frequency_penalty", 0.5),
        ("logit_bias", {"5": 1}),
        ("min_p", 0.1),
        ("min_tokens", 1),
    ],
)
async def test_what_sampling_on_the_device_cannot_do_is_refused_by_name(field: str, value: object) -> None:
    error = await _error("/v1/chat/completions", CHAT | {field: value}, engine=ScriptedEngine(ON_DEVICE))
    assert (error["param"], error["code"]) == (field, "unsupported_parameter")
    assert "device" in error["message"]


async def test_log_probabilities_without_alternatives_are_refused_on_the_device_too() -> None:
    error = await _error("/v1/completions", COMPLETION | {"logprobs": 0}, engine=ScriptedEngine(ON_DEVICE))
    assert error["param"] == "logprobs"


async def test_values_that_mean_not_wanted_are_no_reason_to_refuse_on_the_device() -> None:
    api = ScriptedApi(ScriptedEngine(ON_DEVICE))
    off = {"min_p": 0, "min_tokens": 0, "presence_penalty": 0, "logit_bias": {}, "logprobs": False, "seed": None}
    exchange = asgi.post(api.app, "/v1/chat/completions", CHAT | off)
    await api.engine.next_generations()
    await exchange.aclose()


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"5", b'{"seed": ' + b"9" * 5000 + b"}", b'{"model": NaN}', b"[" * 3000, b""]
)
async def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    answer = await ScriptedApi().http.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_body_without_its_content_type_is_told_so() -> None:
    answer = await ScriptedApi().http.post(
        "/v1/chat/completions", content=b"{}", headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]["message"]


async def test_half_a_surrogate_pair_is_no_text() -> None:
    body = b'{"model": "scripted", "messages": [{"role": "user", "content": "\\ud800"}]}'
    answer = await ScriptedApi().http.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages[0].content")


async def test_an_unknown_field_with_half_a_surrogate_pair_in_its_name_is_still_answered() -> None:
    body = b'{"model": "scripted", "messages": [{"role": "user", "content": "x"}], "\\ud800": 1}'
    answer = await ScriptedApi().http.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
