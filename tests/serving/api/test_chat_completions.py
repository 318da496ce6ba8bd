"""The official client against the API, an answer that a test dictates."""

import asyncio
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from serving.chat.stream import stop_tables
from serving.engine.request import Finished, FinishReason, Token, Update
from serving.errors import QueueFull, Unavailable
from tests.support import asgi
from tests.support.api import ScriptedApi
from tests.support.scripted_engine import TIMINGS, ScriptedGeneration

USER: Any = [{"role": "user", "content": "Hi"}]
STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH


async def _ask(api: ScriptedApi, *says: str, **fields: Any) -> ChatCompletion:
    """One whole answer; each choice says its text, a token an update, and stops."""
    client = api.openai()
    asked = asyncio.create_task(client.chat.completions.create(model="scripted", messages=USER, **fields))
    for generation, text in zip(await api.engine.next_generations(), says, strict=True):
        _say(api, generation, text)
    answer: ChatCompletion = await asked
    return answer


def _say(api: ScriptedApi, generation: ScriptedGeneration, text: str) -> None:
    for token_id in api.ids(text):
        generation.say(token_id)
    generation.say(finish=STOP)


async def _chunks(api: ScriptedApi, *says: str, **fields: Any) -> list[Any]:
    client = api.openai()
    asked = asyncio.create_task(client.chat.completions.create(model="scripted", messages=USER, stream=True, **fields))
    for generation, text in zip(await api.engine.next_generations(), says, strict=True):
        _say(api, generation, text)
    return [chunk async for chunk in await asked]


async def test_a_whole_answer_has_text_usage_and_fingerprint() -> None:
    api = ScriptedApi()
    answer = await _ask(api, "Good day")
    assert answer.choices[0].message.content == "Good day"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(api.ids("Good day"))
    assert answer.usage.prompt_tokens == len(api.engine.generations[0].request.prompt_ids)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert (answer.model, answer.system_fingerprint, answer.created) == ("scripted", "scripted-1", 1_700_000_000)


async def test_a_stream_is_the_same_text_a_token_at_a_time() -> None:
    api = ScriptedApi()
    chunks = await _chunks(api, "Good day")
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Good day"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks)
    assert len({c.id for c in chunks}) == 1


async def test_usage_in_the_stream_equals_the_tokens_that_came() -> None:
    api = ScriptedApi()
    *chunks, last = await _chunks(api, "Good 🙂 day", stream_options={"include_usage": True}, logprobs=True)
    assert last.choices == []
    listed = [len(c.choices[0].logprobs.content) for c in chunks if c.choices[0].logprobs]
    assert last.usage.completion_tokens == sum(listed) == len(api.ids("Good 🙂 day"))


async def test_several_choices_share_the_prompt_and_count_each_token() -> None:
    api = ScriptedApi()
    answer = await _ask(api, "a", "bb", "ccc", n=3, seed=5)
    assert [c.message.content for c in answer.choices] == ["a", "bb", "ccc"]
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    requests = [generation.request for generation in api.engine.generations]
    assert answer.usage.prompt_tokens == len(requests[0].prompt_ids)
    assert [request.sampling.seed for request in requests] == [5, 6, 7]
    assert len({request.request_id for request in requests}) == 3


async def test_several_choices_stream_side_by_side() -> None:
    chunks = await _chunks(ScriptedApi(), "a🙂", "bb", n=2)
    texts = ["", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == ["a🙂", "bb"]
    assert [c.choices[0].delta.role for c in chunks[:2]] == ["assistant", "assistant"]


async def test_every_sampling_field_reaches_the_engine() -> None:
    api = ScriptedApi()
    await _ask(
        api,
        "x",
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=3,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"5": -100},
        logprobs=True,
        top_logprobs=2,
        user="ann",
        extra_body={"top_k": -1, "min_p": 0.05, "min_tokens": 1, "ignore_eos": True},
    )
    request = api.engine.generations[0].request
    sampling = request.sampling
    assert (request.max_tokens, request.min_tokens, request.ignore_eos) == (7, 1, True)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 0, 0.05)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.1, 0.2)
    assert (sampling.logit_bias, sampling.seed, sampling.logprobs) == ({5: -100.0}, 3, 2)
    assert api.records[0].user == "ann"


async def test_text_parts_are_lines_and_a_developer_is_the_system() -> None:
    api = ScriptedApi()
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages: Any = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    asked = asyncio.create_task(api.openai().chat.completions.create(model="scripted", messages=messages))
    (generation,) = await api.engine.next_generations()
    generation.say(finish=STOP)
    await asked
    text = api.tokenizer.decode(list(generation.request.prompt_ids), skip_special_tokens=False)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na\nb<|im_end|>\n<|im_start|>assistant\n"
    )


async def test_null_fields_count_as_absent() -> None:
    answer = await _ask(ScriptedApi(), "x", extra_body={"seed": None, "tools": None})
    assert answer.choices[0].message.content == "x"


async def test_log_probabilities_have_token_bytes_and_alternatives() -> None:
    api = ScriptedApi()
    half, rest = api.ids("🙂")[0], api.ids("🙂")[1]
    asked = asyncio.create_task(
        api.openai().chat.completions.create(model="scripted", messages=USER, logprobs=True, top_logprobs=2)
    )
    (generation,) = await api.engine.next_generations()
    generation.say(Token(half, -0.5, ((half, -0.5), (rest, float("-inf")))), Token(261, -0.1), finish=LENGTH)
    answer = await asked
    assert answer.choices[0].logprobs is not None
    first, second = answer.choices[0].logprobs.content or []
    assert (first.logprob, first.bytes) == (-0.5, [0xF0, 0x9F])
    assert [(a.bytes, a.logprob) for a in first.top_logprobs] == [([0xF0, 0x9F], -0.5), ([0x99], -9999.0)]
    assert (second.token, second.bytes) == ("<|im_end|>", list(b"<|im_end|>"))


async def test_a_stop_string_ends_the_answer_before_it_and_frees_the_slot() -> None:
    api = ScriptedApi()
    asked = asyncio.create_task(
        api.openai().chat.completions.create(model="scripted", messages=USER, stop=["END"], stream=True)
    )
    (generation,) = await api.engine.next_generations()
    generation.say(*api.ids("the E"))
    generation.say(*api.ids("ND and more"))
    chunks = [chunk async for chunk in await asked]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "the "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert generation.aborted is STOP
    assert api.records[0].completion_tokens == len(api.ids("the E")) + 2  # up to and with the D


async def test_stop_strings_are_prepared_once_for_all_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Any] = []

    def counted(stops: Any) -> Any:
        prepared.append(stops)
        return stop_tables(stops)

    monkeypatch.setattr("serving.api.frontend.stop_tables", counted)
    answer = await _ask(ScriptedApi(), "aEND", "b", n=2, stop=["END"])
    assert [choice.message.content for choice in answer.choices] == ["a", "b"]
    assert prepared == [("END",)]


async def test_the_engines_length_is_openais_length() -> None:
    api = ScriptedApi()
    asked = asyncio.create_task(api.openai().chat.completions.create(model="scripted", messages=USER))
    (generation,) = await api.engine.next_generations()
    generation.say(*api.ids("a"), finish=LENGTH)
    assert (await asked).choices[0].finish_reason == "length"


async def test_another_model_is_a_404() -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await ScriptedApi().openai().chat.completions.create(model="gpt-9", messages=USER)
    assert raised.value.code == "model_not_found"
    assert "scripted" in raised.value.message


@pytest.mark.parametrize(
    ("refusal", "expected", "status", "retry_after"),
    [
        (QueueFull("All slots are busy.", retry_after_s=2.1), openai.RateLimitError, 429, "3"),
        (Unavailable("Shutting down.", retry_after_s=0.0), openai.InternalServerError, 503, "1"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_a_status_line_with_whole_seconds_to_wait(
    refusal: Any, expected: type[openai.APIStatusError], status: int, retry_after: str, stream: bool
) -> None:
    api = ScriptedApi()
    api.engine.refusal = refusal
    with pytest.raises(expected) as raised:
        await api.openai().chat.completions.create(model="scripted", messages=USER, stream=stream)
    assert raised.value.status_code == status
    assert raised.value.response.headers["retry-after"] == retry_after
    assert raised.value.response.headers["x-replica-id"] == "replica-1"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_early_failure_is_a_status_line(stream: bool) -> None:
    api = ScriptedApi()
    asked = asyncio.create_task(
        api.openai().chat.completions.create(model="scripted", messages=USER, stream=stream, n=2)
    )
    first, second = await api.engine.next_generations()
    second.say(finish=FinishReason.FAILED, error="The model failed on this request.")
    with pytest.raises(openai.InternalServerError, match="The model failed on this request") as raised:
        await asked
    assert raised.value.status_code == 500
    assert first.aborted is FinishReason.FAILED
    assert api.records[0].status == 500
    assert api.sink.counted == {("http_errors_total", (("status", "500"),)): 1}


def _expire(generation: ScriptedGeneration) -> None:
    """As the engine ends what found no slot in time."""
    expiry = Finished(FinishReason.FAILED, TIMINGS, "No slot came free within 30 s.", retry_after_s=2.5)
    generation._updates.put_nowait(Update((), expiry))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_wait_that_expires_in_the_queue_is_a_503_with_the_time_to_wait(stream: bool) -> None:
    api = ScriptedApi()
    asked = asyncio.create_task(api.openai().chat.completions.create(model="scripted", messages=USER, stream=stream))
    _expire(*await api.engine.next_generations())
    with pytest.raises(openai.InternalServerError, match="No slot came free") as raised:
        await asked
    assert raised.value.status_code == 503
    assert raised.value.response.headers["retry-after"] == "3"
    assert api.records[0].status == 503


async def test_a_wait_that_expires_after_the_status_line_is_an_event_of_the_retryable_type() -> None:
    api = ScriptedApi(first_byte_wait_s=0)
    body = {"model": "scripted", "messages": USER, "stream": True}
    async with api.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        _expire(*api.engine.generations)
        lines = [line async for line in answer.aiter_lines() if line]
    assert '"type":"service_unavailable_error"' in lines[-1]
    assert (api.records[0].status, api.records[0].error) == (200, "No slot came free within 30 s.")
    assert api.sink.counted == {("http_late_errors_total", (("status", "503"),)): 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_before_the_first_token_is_a_500_and_no_empty_answer(stream: bool) -> None:
    api = ScriptedApi()
    asked = asyncio.create_task(api.openai().chat.completions.create(model="scripted", messages=USER, stream=stream))
    (generation,) = await api.engine.next_generations()
    generation.say(10**9)  # no such token
    with pytest.raises(openai.InternalServerError, match="The server failed on this answer"):
        await asked
    assert [record.status for record in api.records] == [500]


async def test_a_late_failure_is_an_error_event_and_no_done() -> None:
    api = ScriptedApi(first_byte_wait_s=0)
    body = {"model": "scripted", "messages": USER, "stream": True}
    async with api.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        (generation,) = await api.engine.next_generations()
        generation.say(*api.ids("a"))
        lines = answer.aiter_lines()
        while '"content":"a"' not in await anext(lines):
            pass
        generation.say(finish=FinishReason.FAILED, error="The model failed on this request.")
        rest = [line async for line in lines if line]
    assert answer.status_code == 200
    assert len(rest) == 1
    assert rest[0].startswith('data: {"error":{"message":"The model failed on this request."')
    assert (api.records[0].status, api.records[0].error) == (200, "The model failed on this request.")
    assert api.sink.counted == {("http_late_errors_total", (("status", "500"),)): 1}


async def test_a_late_bug_in_the_text_is_counted_as_an_error_and_no_choice_as_left() -> None:
    api = ScriptedApi(first_byte_wait_s=0)
    body = {"model": "scripted", "messages": USER, "stream": True, "n": 2}
    async with api.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        generations = await api.engine.next_generations()
        generations[0].say(10**9)  # no such token
        lines = [line async for line in answer.aiter_lines() if line]
    assert lines[-1].startswith('data: {"error":{"message":"The server failed on this answer')
    assert [generation.aborted for generation in generations] == [FinishReason.FAILED] * 2
    assert api.sink.counted == {("http_late_errors_total", (("status", "500"),)): 1}


async def test_a_late_failure_raises_in_the_official_client() -> None:
    api = ScriptedApi()
    asked = asyncio.create_task(api.openai().chat.completions.create(model="scripted", messages=USER, stream=True))
    (generation,) = await api.engine.next_generations()
    generation.say(*api.ids("a"))
    stream = await asked
    generation.say(finish=FinishReason.FAILED, error="The model failed on this request.")
    with pytest.raises(openai.APIError, match="The model failed on this request"):
        async for _ in stream:
            pass


async def test_a_silent_stream_sends_its_status_line_in_time_and_then_heartbeats() -> None:
    api = ScriptedApi(first_byte_wait_s=0.01, heartbeat_s=0.01)
    body = {"model": "scripted", "messages": USER, "stream": True}
    async with api.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        (generation,) = await api.engine.next_generations()
        lines = answer.aiter_lines()
        heartbeats = 0
        while heartbeats < 3:
            heartbeats += (await anext(lines)).startswith(":")
        _say(api, generation, "a")
        assert [line async for line in lines if line.startswith("data:")][-1] == "data: [DONE]"


async def test_an_early_failure_after_the_status_line_is_an_event() -> None:
    api = ScriptedApi(first_byte_wait_s=0)
    body = {"model": "scripted", "messages": USER, "stream": True}
    async with api.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        api.engine.generations[0].say(finish=FinishReason.FAILED, error="Waited too long.")
        assert "Waited too long." in [line async for line in answer.aiter_lines() if line][-1]


async def test_a_client_that_leaves_a_stream_ends_its_generations() -> None:
    api = ScriptedApi()
    asked = asyncio.create_task(api.openai().chat.completions.create(model="scripted", messages=USER, stream=True, n=2))
    generations = await api.engine.next_generations()
    generations[0].say(*api.ids("a"))
    await (await asked).close()
    assert [generation.aborted for generation in generations] == [FinishReason.CANCELLED] * 2
    await asyncio.sleep(0)
    assert api.records[0].status == 499
    assert api.sink.counted == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_first_token_ends_its_generation(stream: bool) -> None:
    api = ScriptedApi()
    exchange = asgi.post(api.app, "/v1/chat/completions", {"model": "scripted", "messages": USER, "stream": stream})
    (generation,) = await api.engine.next_generations()
    await asyncio.sleep(0)
    await exchange.aclose()
    assert generation.aborted is FinishReason.CANCELLED
    assert api.records[0].status == 499
    assert api.sink.counted == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_cancels_its_handler_ends_the_generation(stream: bool) -> None:
    api = ScriptedApi()
    exchange = asgi.post(api.app, "/v1/chat/completions", {"model": "scripted", "messages": USER, "stream": stream})
    (generation,) = await api.engine.next_generations()
    await asyncio.sleep(0)
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.task
    assert generation.aborted is FinishReason.CANCELLED
    await asyncio.sleep(0)
    assert api.records[0].status == 499
    assert api.sink.counted == {}
