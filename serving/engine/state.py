"""How far one generation has come, and the length arithmetic between its prompt, its answer and its slot."""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.engine.request import Finished, GenerationRequest, Timings
from serving.engine.runner import RunnerSpec


@dataclass(slots=True, eq=False)
class GenerationState:
    """One accepted generation, from the queue to its one outcome. Only the scheduler writes to it.

    The last sampled token is never in the cache: once the prompt is complete,
    `cached_tokens == prompt_tokens + len(output_ids) - 1`.
    """

    request: GenerationRequest
    stop_token_ids: frozenset[int]
    answer_limit_tokens: int  # the lesser of max_tokens and what the slot has room for
    submitted_s: float
    slot: int | None = None  # None while it waits; kept after the end, when the slot may have another owner
    admitted_s: float | None = None  # None while it waits
    first_token_s: float | None = None  # None until there is one
    last_token_s: float | None = None  # None until there is one
    cached_tokens: int = 0  # of this generation in the slot's cache
    output_ids: list[int] = field(default_factory=list)
    finished: Finished | None = None  # None until its one outcome

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt."""
        return len(self.request.prompt_ids)

    @property
    def prompt_complete(self) -> bool:
        """The whole prompt is in the cache, so the generation decodes from here on."""
        return self.cached_tokens >= self.prompt_tokens

    @property
    def answer_complete(self) -> bool:
        """There is no room for another token."""
        return len(self.output_ids) >= self.answer_limit_tokens

    def is_stop(self, token_id: int) -> bool:
        """Whether `token_id`, coming next, ends the answer."""
        return token_id in self.stop_token_ids and len(self.output_ids) >= self.request.min_tokens

    def timings(self, now_s: float) -> Timings:
        """Where the time went, for a generation that ends at `now_s`."""
        admitted_s = now_s if self.admitted_s is None else self.admitted_s
        first_s = now_s if self.first_token_s is None else self.first_token_s
        return Timings(queue_s=admitted_s - self.submitted_s, prefill_s=first_s - admitted_s, decode_s=now_s - first_s)


def open_state(request: GenerationRequest, spec: RunnerSpec, *, now_s: float) -> GenerationState:
    """The state of a request that was just accepted.

    Raises ValueError for a request that no slot can hold: the chat layer has to refuse those by name before.
    """
    prompt_tokens, room_tokens = len(request.prompt_ids), spec.positions - len(request.prompt_ids)
    if not 1 <= prompt_tokens <= spec.longest_prompt or room_tokens < 1:
        raise ValueError(f"a prompt of {prompt_tokens} tokens does not fit: 1 to {spec.longest_prompt} do")
    if request.max_tokens < 1:
        raise ValueError(f"max_tokens is {request.max_tokens}, at least 1 is needed")
    model_stops = frozenset[int]() if request.ignore_eos else spec.eos_token_ids
    return GenerationState(
        request,
        stop_token_ids=model_stops | request.stop_token_ids,
        answer_limit_tokens=min(request.max_tokens, room_tokens),
        submitted_s=now_s,
    )
