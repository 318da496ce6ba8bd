"""A checked request down to the engine, and the answer back up to a response: the one place that joins the two."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from serving.api import limits
from serving.api.call import Call, Caller
from serving.api.protocol import ChatCompletionRequest, CompletionRequest
from serving.api.responses import StreamedAnswer, WholeAnswer
from serving.api.shapes import ChatShape, CompletionShape, Head, Shape
from serving.chat.answer import Answer, Choice, Generation
from serving.chat.prompt import PromptEncoder, answer_budget
from serving.chat.stream import StopTables, TextStream, stop_tables
from serving.chat.vocabulary import Vocabulary
from serving.engine.clock import Clock
from serving.engine.request import GenerationRequest, SamplingParams
from serving.engine.runner import RunnerSpec
from serving.telemetry.request_log import RequestRecord

# Longer prompts are encoded in a thread, so that their milliseconds do not stall every stream of this replica.
_INLINE_CHARACTERS = 16_384
_CHARACTERS_OF_A_TURN = 32  # that the template adds, about

T = TypeVar("T")
Prompt = tuple[int, ...]
Asked = ChatCompletionRequest | CompletionRequest


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """What is different between the two once the prompt is made."""

    name: str
    id_prefix: str
    prompt_field: str
    shape: type[ChatShape] | type[CompletionShape]
    continues_its_prompt: bool


_CHAT = _Endpoint("chat.completions", "chatcmpl", "messages", ChatShape, continues_its_prompt=False)
_COMPLETION = _Endpoint("completions", "cmpl", "prompt", CompletionShape, continues_its_prompt=True)


class AcceptsRequests(Protocol):
    """What is needed of the engine."""

    @property
    def spec(self) -> RunnerSpec:
        """What its runner says of itself."""

    def submit(self, requests: Sequence[GenerationRequest]) -> Sequence[Generation]:
        """Accept all or none. Raises QueueFull or Unavailable."""


class Frontend:
    """One model behind OpenAI's two endpoints."""

    def __init__(
        self,
        engine: AcceptsRequests,
        encoder: PromptEncoder,
        *,
        vocabulary: Vocabulary,
        capacity: int,
        first_byte_wait_s: float,
        heartbeat_s: float,
        clock: Clock,
        on_finished: Callable[[RequestRecord], None],
        defaults: SamplingParams,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._encoder = encoder
        self._vocabulary = vocabulary
        self._capacity = capacity  # generations that slots and queue hold together
        self._first_byte_wait_s = first_byte_wait_s
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._on_finished = on_finished
        self._defaults = defaults  # the model's own, for what a request leaves open
        self._wall_clock = wall_clock
        self.started_at = int(wall_clock())  # `created` of the model's entry

    @property
    def spec(self) -> RunnerSpec:
        """What the runner says of itself."""
        return self._engine.spec

    async def chat(self, asked: ChatCompletionRequest, caller: Caller) -> WholeAnswer | StreamedAnswer:
        """Answer a conversation. Raises what the error table turns into a status line."""
        arrived_s = self._clock.now()
        self._check(asked, prompts=1)
        messages = [message.as_template_input() for message in asked.messages]
        size = sum(len(message["content"]) + _CHARACTERS_OF_A_TURN for message in messages)
        prompt = await _inline_or_thread(size, lambda: self._encoder.chat(messages))
        return self._answer(_CHAT, asked, caller, [prompt], arrived_s=arrived_s)

    async def complete(self, asked: CompletionRequest, caller: Caller) -> WholeAnswer | StreamedAnswer:
        """Go on from one text or several. Raises what the error table turns into a status line."""
        arrived_s = self._clock.now()
        self._check(asked, prompts=len(asked.prompts))
        size = sum(map(len, asked.prompts))
        prompts = await _inline_or_thread(size, lambda: [self._encode(prompt) for prompt in asked.prompts])
        return self._answer(_COMPLETION, asked, caller, prompts, arrived_s=arrived_s)

    def _check(self, asked: Asked, *, prompts: int) -> None:
        limits.check_model(asked.model, self.spec)
        limits.check_supported(asked, self.spec)
        limits.check_choices(asked.n * prompts, capacity=self._capacity)

    def _encode(self, prompt: str | list[int]) -> Prompt:
        return self._encoder.text(prompt) if isinstance(prompt, str) else limits.check_prompt_ids(prompt, self.spec)

    def _answer(
        self, endpoint: _Endpoint, asked: Asked, caller: Caller, prompts: Sequence[Prompt], *, arrived_s: float
    ) -> WholeAnswer | StreamedAnswer:
        answer_id = f"{endpoint.id_prefix}-{uuid.uuid4().hex}"
        stops = stop_tables(asked.stops)
        generations = self._engine.submit(self._requests(endpoint, asked, prompts, answer_id))
        call = Call(
            caller=caller,
            answer_id=answer_id,
            endpoint=endpoint.name,
            arrived_s=arrived_s,
            prompt_tokens=sum(map(len, prompts)),
            streamed=asked.stream,
            user=asked.user,
            shape=self._shape(endpoint, asked, answer_id, choices=len(generations)),
            answer=Answer(
                [Choice(i, generation, self._text(endpoint, asked, stops)) for i, generation in enumerate(generations)],
                answer_id=answer_id,
                on_end=lambda _: self._on_finished(call.record(self._clock.now())),
            ),
        )
        if not asked.stream:
            return WholeAnswer(call)
        return StreamedAnswer(
            call,
            first_byte_wait_s=self._first_byte_wait_s,
            heartbeat_s=self._heartbeat_s,
            usage=asked.usage_in_stream,
        )

    def _shape(self, endpoint: _Endpoint, asked: Asked, answer_id: str, *, choices: int) -> Shape:
        return endpoint.shape(
            Head(answer_id, int(self._wall_clock()), self.spec.model_id, self.spec.fingerprint),
            self._vocabulary,
            choices=choices,
            logprobs=asked.wanted_logprobs is not None,
            usage=asked.usage_in_stream,
        )

    def _text(self, endpoint: _Endpoint, asked: Asked, stops: StopTables) -> TextStream:
        return TextStream(
            self._vocabulary, stops=stops, min_tokens=asked.min_tokens, continues=endpoint.continues_its_prompt
        )

    def _requests(
        self, endpoint: _Endpoint, asked: Asked, prompts: Sequence[Prompt], answer_id: str
    ) -> list[GenerationRequest]:
        """One for each choice: n of the first prompt, then n of the next."""
        asked_tokens, asked_field = asked.asked_tokens
        requests: list[GenerationRequest] = []
        for prompt in prompts:
            budget = answer_budget(
                len(prompt),
                asked_tokens,
                positions=self.spec.positions,
                longest_prompt=self.spec.longest_prompt,
                param=endpoint.prompt_field,
                asked_param=asked_field,
            )
            limits.check_min_tokens(asked, budget)
            for choice in range(asked.n):
                requests.append(
                    GenerationRequest(
                        request_id=f"{answer_id}-{len(requests)}",
                        prompt_ids=prompt,
                        max_tokens=budget,
                        sampling=limits.sampling(asked, self.spec, defaults=self._defaults, choice=choice),
                        min_tokens=asked.min_tokens,
                        ignore_eos=asked.ignore_eos,
                    )
                )
        return requests


async def _inline_or_thread(characters: int, encode: Callable[[], T]) -> T:
    return encode() if characters <= _INLINE_CHARACTERS else await asyncio.to_thread(encode)
