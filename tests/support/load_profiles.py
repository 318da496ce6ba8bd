"""Builders for profiles and records, with every field that a test does not speak of filled in."""

from __future__ import annotations

from typing import Any

from loadtest.record import Outcome, Record
from loadtest.spec import Profile


def profile(**fields: Any) -> Profile:
    """An open-loop profile of one constant stage, changed by `fields`."""
    base: dict[str, Any] = {
        "name": "test",
        "description": "of a test",
        "seed": 11,
        "loop": "open",
        "process": "even",
        "stages": [{"name": "only", "duration_s": 10, "rate": {"shape": "constant", "per_s": 2}}],
        "prompts": {"words": 5, "answer_tokens": 6},
        "sending": {"timeout_s": 20},
        "slo": {"ttft_s": 1, "itl_s": 0.1, "e2e_s": 10},
    }
    return Profile.model_validate(base | fields)


def closed(users: int = 4, **fields: Any) -> Profile:
    """A closed-loop profile of one stage."""
    stages = [{"name": "only", "duration_s": 10, "users": users}]
    return profile(**({"loop": "closed", "stages": stages} | fields))


def record(
    index: int = 0, *, at_s: float = 0.0, ttft_s: float = 0.1, gaps_s: tuple[float, ...] = (0.05,), **fields: Any
) -> Record:
    """A request that ended well, `ttft_s` after it was due, with one more token after each gap."""
    token_s = [at_s + ttft_s]
    for gap_s in gaps_s:
        token_s.append(token_s[-1] + gap_s)
    base: dict[str, Any] = {
        "index": index, "stage": 0, "outcome": Outcome.OK, "scheduled_s": at_s, "dispatched_s": at_s, "sent_s": at_s,
        "token_s": tuple(token_s), "ended_s": token_s[-1], "status": 200, "prompt_tokens": 7,
        "completion_tokens": len(token_s), "finish_reason": "length", "replica": "r0",
    }  # fmt: skip
    return Record(**(base | fields))


def failure(outcome: Outcome, index: int = 0, *, at_s: float = 0.0, **fields: Any) -> Record:
    """A request that did not end well and got no token."""
    base = {"outcome": outcome, "token_s": (), "completion_tokens": None, "finish_reason": None, "error": "why"}
    return record(index, at_s=at_s, **(base | fields))
