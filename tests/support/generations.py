"""Requests and engine limits with defaults, for tests that care about one field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from serving.engine.limits import EngineLimits
from serving.engine.request import GenerationRequest, SamplingParams

GREEDY = SamplingParams(temperature=0)
LIMITS = EngineLimits(
    queue_length=8, longest_answer_s=100.0, longest_wait_s=10.0, prefill_budget_tokens=16, longest_step_s=60.0
)


def request(prompt_tokens: int = 4, *, number: int = 0, max_tokens: int = 4, **fields: Any) -> GenerationRequest:
    """A greedy request, with another id and another prompt for each `number` up to 90."""
    prompt_ids = tuple(1 + (number + i) % 90 for i in range(prompt_tokens))
    fields = {"sampling": GREEDY, **fields}
    return GenerationRequest(f"r{number}", prompt_ids, max_tokens, **fields)


def limits(**fields: Any) -> EngineLimits:
    """LIMITS with some fields changed."""
    return replace(LIMITS, **fields)
