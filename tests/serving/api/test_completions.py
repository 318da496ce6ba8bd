import asyncio
from typing import Any

from openai.types import Completion

from serving.engine.request import FinishReason, Token
from tests.support import tokenizers
from tests.support.api import ScriptedApi


async def _ask(api: ScriptedApi, *says: list[Token], **fields: Any) -> Completion:
    asked = asyncio.create_task(api.openai().completions.create(model="scripted", **fields))
    for generation, tokens in zip(await api.engine.next_generations(), says, strict=True):
        generation.say(*tokens, finish=FinishReason.LENGTH)
    answer: Completion = await asked
    return answer


def _tokens(api: ScriptedApi, text: str) -> list[Token]:
    return [Token(token_id, -1.0, ((token_id, -1.0),)) for token_id in api.ids(text)]


async def test_a_text_is_continued() -> None:
    api = ScriptedApi()
    answer = await _ask(api, _tokens(api, " the end"), prompt="see")
    assert answer.choices[0].text == " the end"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(api.ids("see"))


async def test_a_continuation_keeps_the_space_that_a_fresh_answer_drops() -> None:
    api = ScriptedApi(tokenizer=tokenizers.sentencepiece())
    the = tokenizers.token(api.tokenizer, "▁the")
    assert (await _ask(api, [Token(the)], prompt="see")).choices[0].text == " the"


async def test_the_default_length_is_openais_sixteen() -> None:
    api = ScriptedApi()
    await _ask(api, [], prompt="see")
    assert api.engine.generations[0].request.max_tokens == 16


async def test_token_ids_are_taken_as_they_are() -> None:
    api = ScriptedApi()
    await _ask(api, [], prompt=[5, 6, 7])
    assert api.engine.generations[0].request.prompt_ids == (5, 6, 7)


async def test_several_prompts_with_several_answers_are_numbered_through() -> None:
    api = ScriptedApi()
    answer = await _ask(api, *(_tokens(api, text) for text in "abcd"), prompt=["x", "yy"], n=2)
    assert [(choice.index, choice.text) for choice in answer.choices] == list(enumerate("abcd"))
    assert [generation.request.prompt_ids for generation in api.engine.generations] == [
        tuple(api.ids(text)) for text in ("x", "x", "yy", "yy")
    ]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 4)


async def test_log_probabilities_say_where_in_the_text_each_token_begins() -> None:
    api = ScriptedApi()
    answer = await _ask(api, _tokens(api, "a🙂b"), prompt="x", logprobs=1)
    listed = answer.choices[0].logprobs
    assert listed is not None
    assert listed.text_offset == [0, 1, 2, 2, 2]  # a, then the smile's first half, its other two bytes, and b
    assert listed.token_logprobs == [-1.0] * 5
    assert listed.tokens is not None
    assert (listed.tokens[0], listed.tokens[-1]) == ("a", "b")
    assert listed.top_logprobs is not None
    assert listed.top_logprobs[0] == {"a": -1.0}


async def test_a_stream_has_the_text_in_order_and_the_usage_at_the_end() -> None:
    api = ScriptedApi()
    asked = asyncio.create_task(
        api.openai().completions.create(
            model="scripted", prompt="x", stream=True, stream_options={"include_usage": True}, logprobs=0
        )
    )
    (generation,) = await api.engine.next_generations()
    for token in _tokens(api, "abc"):
        generation.say(token)
    generation.say(finish=FinishReason.STOP)
    *chunks, last = [chunk async for chunk in await asked]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "abc"
    assert [chunk.choices[0].logprobs.text_offset for chunk in chunks if chunk.choices[0].logprobs] == [[0], [1], [2]]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.completion_tokens == 3


async def test_a_long_prompt_is_encoded_beside_the_loop_and_still_refused_by_numbers() -> None:
    answer = await ScriptedApi(longest_body_bytes=100_000).http.post(
        "/v1/completions", json={"model": "scripted", "prompt": "x" * 50_000}
    )
    assert answer.status_code == 400
    assert "50000 tokens" in answer.json()["error"]["message"]
