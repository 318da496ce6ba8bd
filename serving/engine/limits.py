"""What the engine holds itself to, as plain values; the composition root fills them from the settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Admission, fairness and deadlines."""

    queue_length: int  # accepted requests that may wait for a slot: the one bounded queue of the product
    longest_answer_s: float  # from acceptance, waiting included, to the last token; past it an answer ends as `length`
    longest_wait_s: float  # in the queue; past it a request fails
    prefill_budget_tokens: int  # prompt tokens computed between two decodes
    longest_step_s: float  # of the runner; past it the engine counts as hung
