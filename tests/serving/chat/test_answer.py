import asyncio
import functools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.chat.answer import Answer, Choice, Delta
from serving.chat.stream import TextStream, stop_tables
from serving.chat.vocabulary import Vocabulary, read_vocabulary
from serving.engine.request import FinishReason, GenerationRequest
from serving.errors import GenerationFailed
from tests.support import tokenizers
from tests.support.scripted_engine import ScriptedGeneration


@functools.cache
def _vocabulary() -> Vocabulary:
    return read_vocabulary(tokenizers.byte_level())


def _ids(text: str) -> list[int]:
    return list(tokenizers.byte_level().encode(text).ids)


class _Asked:
    """An answer of some choices, and what became of it."""

    def __init__(self, choices: int = 1, *, stops: Sequence[str] = ()) -> None:
        self.generations = [ScriptedGeneration(GenerationRequest(str(i), (1,), 9)) for i in range(choices)]
        self.ends = 0
        texts = [TextStream(_vocabulary(), stops=stop_tables(stops)) for _ in range(choices)]
        self.answer = Answer(
            [Choice(i, *both) for i, both in enumerate(zip(self.generations, texts, strict=True))],
            answer_id="answer-1",
            on_end=self._ended,
        )

    def _ended(self, answer: Answer) -> None:
        self.ends += 1

    async def deltas(self) -> list[Delta]:
        taken: list[Delta] = []
        while not self.answer.complete:
            taken += await self.answer.take(60)
        return taken


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


_GROUPS = st.lists(st.integers(1, 4), min_size=1)


@settings(deadline=None)
@given(_GROUPS)
def test_text_and_count_do_not_depend_on_how_the_tokens_are_grouped(sizes: list[int]) -> None:
    ids = _ids("see the 🙂 END of it all")

    async def scenario() -> tuple[str, int]:
        asked = _Asked(stops=["END"])
        (generation,) = asked.generations
        rest = list(ids)
        for size in sizes:
            generation.say(*rest[:size])
            del rest[:size]
        generation.say(*rest, finish=FinishReason.LENGTH)
        deltas = await asked.deltas()
        assert [delta.finish_reason for delta in deltas][-1] == "stop"
        assert sum(len(delta.tokens) for delta in deltas) == asked.answer.completion_tokens
        return "".join(delta.text for delta in deltas), asked.answer.completion_tokens

    assert asyncio.run(scenario()) == ("see the 🙂 ", len(_ids("see the 🙂 END")))


async def test_what_has_come_is_taken_all_at_once() -> None:
    asked = _Asked(choices=2)
    asked.generations[0].say(*_ids("a"))
    asked.generations[1].say(*_ids("b"))
    await _settle()
    assert [(d.index, d.text) for d in await asked.answer.take(60)] == [(0, "a"), (1, "b")]
    asked.answer.abort()


async def test_nothing_is_taken_when_the_time_is_over_and_the_next_wait_has_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
    asked = _Asked()
    (generation,) = asked.generations
    first = asyncio.create_task(asked.answer.take(2))
    await _settle()
    now_s = 1.0
    generation.say(*_ids("a"))
    await _settle()
    assert first.done()
    assert [d.text for d in first.result()] == ["a"]
    second = asyncio.create_task(asked.answer.take(5))
    await _settle()
    now_s = 5.0  # the first wait's timer has rung
    await _settle()
    assert not second.done()
    now_s = 6.0
    await _settle()
    assert second.done()
    assert second.result() == []
    long = asyncio.create_task(asked.answer.take(60))
    await _settle()
    generation.say(*_ids("b"))
    await _settle()
    assert long.done()
    short = asyncio.create_task(asked.answer.take(1))  # than the timer that is already set
    await _settle()
    now_s = 7.0
    await _settle()
    assert short.done()
    assert short.result() == []
    asked.answer.abort()


async def test_an_answer_ends_once_when_its_last_generation_has() -> None:
    asked = _Asked(choices=2)
    asked.generations[0].say(finish=FinishReason.STOP)
    await _settle()
    assert (asked.ends, asked.answer.ended) == (0, False)
    asked.generations[1].say(finish=FinishReason.LENGTH)
    await _settle()
    assert (asked.ends, asked.answer.ended) == (1, True)
    assert [delta.finish_reason for delta in await asked.deltas()] == ["stop", "length"]


async def test_a_failure_comes_after_what_came_before_it_and_ends_the_others() -> None:
    asked = _Asked(choices=2)
    asked.generations[0].say(*_ids("a"))
    asked.generations[0].say(finish=FinishReason.FAILED, error="It broke.")
    await _settle()
    assert [delta.text for delta in await asked.answer.take(60)] == ["a"]
    with pytest.raises(GenerationFailed, match="It broke"):
        await asked.answer.take(60)
    assert asked.generations[1].aborted is FinishReason.FAILED
    await _settle()
    assert asked.ends == 1
    assert not asked.answer.complete


async def test_a_bug_is_logged_and_fails_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    asked = _Asked(choices=2)
    asked.generations[0].say(10**9)  # no such token: the vocabulary's table ends before it
    with pytest.raises(GenerationFailed, match="The server failed on this answer"):
        await asked.answer.take(60)
    assert [generation.aborted for generation in asked.generations] == [FinishReason.FAILED] * 2
    await _settle()
    assert (asked.ends, asked.answer.complete) == (1, False)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is IndexError


async def test_a_cancelled_generation_is_no_answer() -> None:
    asked = _Asked()
    asked.answer.abort()
    with pytest.raises(GenerationFailed, match="cancelled"):
        await asked.answer.take(60)


async def test_the_end_releases_held_back_text_and_half_a_character() -> None:
    asked = _Asked(stops=["END"])
    asked.generations[0].say(*_ids("EN"), _ids("🙂")[0], finish=FinishReason.LENGTH)
    assert "".join(delta.text for delta in await asked.deltas()) == "EN\ufffd"
