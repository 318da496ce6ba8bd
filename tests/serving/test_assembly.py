"""A whole chatbot in this process: simulated runner, real engine, OpenAI's client."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from serving import assembly
from serving.assembly import Chatbot, assemble
from serving.engine.clock import VirtualClock
from serving.errors import Unavailable
from serving.settings import Settings, load
from tests.support import asgi
from tests.support.api import CountingSink

MODEL = "simulated-instant"
USER: Any = [{"role": "user", "content": "Hi"}]
# The simulated model is sure of its next word; these make two others far likelier, and nearly alike, at every step.
UNSURE: Any = {"logit_bias": {"10": 60, "11": 60}, "max_tokens": 40}


def _settings(**groups: dict[str, object]) -> Settings:
    runner = {"kind": "simulated", "profile": "instant", "slots": 2, "positions": 128} | groups.pop("runner", {})
    return load({"runner": runner, "api": {"page": False}} | groups)


@pytest.fixture
async def chatbot() -> AsyncIterator[Chatbot]:
    made = await assemble(_settings(), replica_id="replica-1", sink=CountingSink())
    yield made
    await made.close(drain_s=5)


def _client(chatbot: Chatbot) -> openai.AsyncOpenAI:
    return asgi.openai_client(chatbot.app)


async def _text(chatbot: Chatbot, **fields: Any) -> str:
    answer = await _client(chatbot).chat.completions.create(model=MODEL, messages=USER, **fields)
    return answer.choices[0].message.content or ""


async def test_a_chatbot_is_ready_only_after_a_prefill_and_a_decode(chatbot: Chatbot) -> None:
    assert (await asgi.http_client(chatbot.app).get("/ready")).status_code == 200
    assert set(chatbot.startup_s) == {"runner", "tokenizer", "canary"}
    assert chatbot.engine.figures().tokens_total == 2


async def test_a_stream_and_a_whole_answer_say_the_same(chatbot: Chatbot) -> None:
    whole = await _text(chatbot, temperature=0)
    stream = await _client(chatbot).chat.completions.create(
        model=MODEL, messages=USER, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert whole.startswith("This answer comes from a simulated")
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 5


async def test_a_seed_says_the_same_whatever_else_runs(chatbot: Chatbot) -> None:
    asked: dict[str, Any] = UNSURE | {"seed": 7}
    alone = await _text(chatbot, **asked)
    among = await asyncio.gather(*(_text(chatbot, **(asked | {"seed": seed})) for seed in (7, 8, 9, 7)))
    assert [text == alone for text in among] == [True, False, False, True]


async def test_answers_of_one_request_differ_and_repeat_with_its_seed(chatbot: Chatbot) -> None:
    async def texts() -> list[str | None]:
        answer = await _client(chatbot).chat.completions.create(model=MODEL, messages=USER, seed=7, n=3, **UNSURE)
        return [choice.message.content for choice in answer.choices]

    first = await texts()
    assert len(set(first)) == 3
    assert await texts() == first


async def test_a_stop_string_cuts_what_the_model_would_have_said(chatbot: Chatbot) -> None:
    whole = await _text(chatbot, temperature=0)
    assert await _text(chatbot, temperature=0, stop=["simulated"]) == whole.split("simulated")[0]
    assert chatbot.engine.figures().busy_slots == 0


async def test_log_probabilities_are_those_of_the_chosen_tokens(chatbot: Chatbot) -> None:
    answer = await _client(chatbot).chat.completions.create(
        model=MODEL, messages=USER, temperature=0, logprobs=True, top_logprobs=3, max_tokens=5
    )
    assert answer.choices[0].logprobs is not None
    content = answer.choices[0].logprobs.content or []
    assert len(content) == 5
    assert "".join(entry.token for entry in content) == answer.choices[0].message.content
    assert all(entry.top_logprobs[0].token == entry.token and len(entry.top_logprobs) == 3 for entry in content)


async def test_a_cancelled_stream_frees_its_slot() -> None:
    # An answer of 400 tokens takes twenty seconds here, so that none ends by itself.
    slow = {"profile": "trn1.2xlarge-mistral-7b", "positions": 512, "start_up_s": 0}
    made = await assemble(_settings(runner=slow, engine={"queue_length": 0}), replica_id="r", sink=CountingSink())
    try:
        client, model = _client(made), made.engine.spec.model_id
        streams = [
            await client.chat.completions.create(
                model=model, messages=USER, stream=True, max_tokens=400, extra_body={"ignore_eos": True}
            )
            for _ in range(2)
        ]
        with pytest.raises(openai.RateLimitError) as raised:
            await client.chat.completions.create(model=model, messages=USER)
        assert int(raised.value.response.headers["retry-after"]) >= 1
        await streams[0].close()
        answer = await client.chat.completions.create(model=model, messages=USER, max_tokens=1)
        assert answer.choices[0].finish_reason == "length"
        await streams[1].close()
    finally:
        await made.close(drain_s=5)


async def test_start_up_stages_of_the_runner_are_exported() -> None:
    sink = CountingSink()
    made = await assemble(
        _settings(runner={"profile": "trn1.2xlarge-mistral-7b", "positions": 512}),
        replica_id="r",
        sink=sink,
        clock=VirtualClock(),
    )
    await made.close(drain_s=0)
    stages = {labels[0][1] for name, labels in sink.gauges if name == "startup_stage_seconds"}
    assert {"runner", "tokenizer", "canary"} < stages
    assert sink.gauges["num_slots", ()] == 2


def test_every_limit_of_the_engine_is_a_setting() -> None:
    names = ("queue_length", "longest_wait_s", "longest_answer_s", "prefill_budget_tokens", "longest_step_s")
    said: dict[str, object] = {name: value for value, name in enumerate(names, start=1)}
    assert dataclasses.asdict(assembly.engine_limits(_settings(engine=said))) == said


async def test_a_draining_chatbot_is_not_ready_and_refuses(chatbot: Chatbot) -> None:
    assert await chatbot.engine.drain(1)
    with pytest.raises(Unavailable):
        chatbot.check_ready()
    with pytest.raises(openai.InternalServerError) as raised:
        await _text(chatbot)
    assert raised.value.status_code == 503


async def test_the_page_is_mounted_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    mounted: list[object] = []
    monkeypatch.setattr(assembly, "mount_page", mounted.append)
    made = await assemble(_settings(api={"page": True}), replica_id="r", sink=CountingSink())
    await made.close(drain_s=0)
    assert len(mounted) == 1
