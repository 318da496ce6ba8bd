"""What the engine tells whoever measures it: one call a step, one for each ending, refusal and change of load.

Calls come from the engine's thread (`refused` from the event loop), between two steps: an observer must be quick and
must not raise, since an exception here ends the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serving.engine.request import FinishReason, Timings
from serving.errors import Refused


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of the engine: what went in, what came out, and how long it took."""

    took_s: float  # schedule, run, sample and commit
    run_s: float  # the runner's share of it
    decode_rows: int  # slots that were decoded
    prompt_tokens: int  # prompt tokens that were computed
    new_tokens: int  # tokens delivered to callers; a stop token is not
    first_tokens_s: tuple[float, ...]  # for each first token of an answer: seconds since it was submitted
    inter_token_s: tuple[float, ...]  # for each later token: seconds since the one before it


@dataclass(frozen=True, slots=True)
class Ended:
    """One accepted generation and its one outcome."""

    request_id: str
    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    timings: Timings
    time_to_first_token_s: float | None  # from submission; None when it never had one
    error: str | None  # the sentence that the caller saw, when the reason is FAILED


class EngineObserver(Protocol):
    """Telemetry, seen from the engine."""

    def step(self, report: StepReport) -> None:
        """A step was committed."""

    def load(self, *, busy_slots: int, waiting: int) -> None:
        """So many generations hold a slot and so many wait for one, from now on; told when either has changed."""

    def ended(self, ended: Ended) -> None:
        """An accepted generation ended, in whatever way."""

    def refused(self, error: Refused, *, count: int) -> None:
        """`count` requests were not accepted. Called on the event loop."""

    def runner_failed(self, error: Exception) -> None:
        """The runner broke; every live generation is about to end as FAILED."""


class Unobserved:
    """An observer that does not look."""

    def step(self, report: StepReport) -> None:
        """Nothing."""

    def load(self, *, busy_slots: int, waiting: int) -> None:
        """Nothing."""

    def ended(self, ended: Ended) -> None:
        """Nothing."""

    def refused(self, error: Refused, *, count: int) -> None:
        """Nothing."""

    def runner_failed(self, error: Exception) -> None:
        """Nothing."""
