"""One generation: what was asked, what has come out so far, and the arithmetic between the two.

Nothing here knows of HTTP, of text or of a device: a prompt is token ids, and so is an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class FinishReason(str, Enum):
    """Why a generation ended; each accepted one ends in exactly one of these."""

    STOP = "stop"  # a stop token, or a stop string that the chat layer found
    LENGTH = "length"  # max_tokens, the slot's last position, or longest_answer_s
    CANCELLED = "cancelled"  # the caller left
    FAILED = "failed"  # the runner or the answer around it broke, or it waited past its deadline


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How a token is picked from logits; the defaults are OpenAI's."""

    temperature: float = 1.0  # 0 is greedy
    top_p: float = 1.0
    top_k: int = 0  # 0 is the whole vocabulary
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # token id -> added to its logit
    seed: int | None = None  # None: the engine draws one
    logprobs: int | None = None  # None: not wanted; n: of the chosen token and of the n best


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What the chat layer hands to the engine; already checked against the runner's limits."""

    request_id: str
    prompt_ids: tuple[int, ...]
    max_tokens: int
    sampling: SamplingParams = SamplingParams()
    min_tokens: int = 0  # no stop token before so many
    ignore_eos: bool = False
    stop_token_ids: frozenset[int] = frozenset()  # besides the model's own


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer."""

    token_id: int
    logprob: float | None = None  # natural log; None unless asked for
    top_logprobs: tuple[tuple[int, float], ...] = ()  # the n best ids with theirs, best first


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a finished generation's time went, in seconds; a phase it never reached is 0."""

    queue_s: float
    prefill_s: float
    decode_s: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The one outcome of a generation."""

    reason: FinishReason
    timings: Timings
    error: str | None = None  # a sentence without internals when the engine ended it as FAILED
    retry_after_s: float | None = None  # not None: nothing was wrong with the request; come back after so many seconds


@dataclass(frozen=True, slots=True)
class Update:
    """What the engine brought for one generation since the last update: tokens, or its end, or both.

    A stop token ends a generation and is not delivered: it is no part of the answer.
    """

    tokens: tuple[Token, ...]
    finished: Finished | None = None
