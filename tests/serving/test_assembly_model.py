"""The whole chatbot on the real small model, asked by OpenAI's client while other requests come and go."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from serving.assembly import Chatbot, assemble
from serving.settings import load
from tests.support import asgi
from tests.support.api import CountingSink
from tests.support.prepared_model import prepared_model

pytestmark = pytest.mark.model

USER: Any = [{"role": "user", "content": "Say something about rain, with an emoji and a word of Japanese: 雨 🌧"}]
RUNNER = {"kind": "openvino", "slots": 4, "positions": 512, "precision": "batch_invariant"}
# Six callers for four slots, on a machine that may be busy.
PATIENT = {"engine": {"longest_wait_s": 250}, "api": {"first_byte_wait_s": 251, "page": False}}


@pytest.fixture
async def chatbot() -> AsyncIterator[Chatbot]:
    prepared_model()
    made = await assemble(load({"runner": RUNNER, **PATIENT}), replica_id="r", sink=CountingSink())
    yield made
    await made.close(drain_s=5)


async def _text(client: openai.AsyncOpenAI, model: str, **fields: Any) -> str:
    asked: dict[str, Any] = {"messages": USER, "temperature": 1.0, "max_tokens": 24} | fields
    answer = await client.chat.completions.create(model=model, **asked)
    return answer.choices[0].message.content or ""


async def test_a_seed_says_the_same_under_load(chatbot: Chatbot) -> None:
    if not chatbot.engine.spec.reproducible:
        pytest.skip("this machine's kernels do not hold batch_invariant")
    client, model = asgi.openai_client(chatbot.app), chatbot.engine.spec.model_id
    alone = await _text(client, model, seed=7)
    among = await asyncio.gather(*(_text(client, model, seed=seed) for seed in (1, 7, 2, 7, 3, 4)))
    assert [text == alone for text in among] == [False, True, False, True, False, False]


async def test_a_stream_says_what_the_whole_answer_says_and_counts_it(chatbot: Chatbot) -> None:
    client, model = asgi.openai_client(chatbot.app), chatbot.engine.spec.model_id
    whole = await _text(client, model, temperature=0)
    stream = await client.chat.completions.create(
        model=model,
        messages=USER,
        temperature=0,
        max_tokens=24,
        logprobs=True,
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    listed = [entry for chunk in chunks if (lp := chunk.choices[0].logprobs) for entry in lp.content or []]
    assert last.usage is not None
    assert last.usage.completion_tokens == len(listed)
    assert b"".join(bytes(entry.bytes or []) for entry in listed).decode(errors="replace") == whole


async def test_streams_that_are_left_free_their_slots(chatbot: Chatbot) -> None:
    client, model = asgi.openai_client(chatbot.app), chatbot.engine.spec.model_id
    for _ in range(6):  # more than there are slots
        stream = await client.chat.completions.create(
            model=model, messages=USER, stream=True, extra_body={"ignore_eos": True}
        )
        await stream.close()
    assert await _text(client, model, max_tokens=2)
    assert chatbot.engine.figures().busy_slots == 0
