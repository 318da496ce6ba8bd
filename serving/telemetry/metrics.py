"""Every metric: its name, unit, labels and meaning, declared once. Where the values go is a sink's affair.

The words are vLLM's with our prefix, so that its dashboards carry over by a search and replace; under Ray Serve the
exporter puts `ray_` before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

PREFIX = "chatbot"

_FIRST_TOKEN_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80)
_BETWEEN_TOKENS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
_REQUEST_S = (0.1, 0.3, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 240, 480)
_STEP_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Kind(str, Enum):
    """How a metric moves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One declaration."""

    name: str  # with its unit as the last word, in base units, as Prometheus wants it; without the prefix
    kind: Kind
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # of a histogram

    @property
    def full_name(self) -> str:
        """As it is exported."""
        return f"{PREFIX}_{self.name}"


TIME_TO_FIRST_TOKEN = Metric(
    "time_to_first_token_seconds", Kind.HISTOGRAM, "From acceptance to the first token.", buckets=_FIRST_TOKEN_S
)
INTER_TOKEN_LATENCY = Metric(
    "inter_token_latency_seconds", Kind.HISTOGRAM, "Between two tokens of one answer.", buckets=_BETWEEN_TOKENS_S
)
REQUEST_LATENCY = Metric(
    "e2e_request_latency_seconds", Kind.HISTOGRAM, "From acceptance to the last token.", buckets=_REQUEST_S
)
QUEUE_TIME = Metric("request_queue_time_seconds", Kind.HISTOGRAM, "Waiting for a slot.", buckets=_FIRST_TOKEN_S)
PREFILL_TIME = Metric(
    "request_prefill_time_seconds", Kind.HISTOGRAM, "From the slot to the first token.", buckets=_FIRST_TOKEN_S
)
DECODE_TIME = Metric(
    "request_decode_time_seconds", Kind.HISTOGRAM, "From the first token to the last.", buckets=_REQUEST_S
)
STEP_TIME = Metric("step_time_seconds", Kind.HISTOGRAM, "One step of the engine.", buckets=_STEP_S)
STEP_HOST_TIME = Metric(
    "step_host_time_seconds", Kind.HISTOGRAM, "One step of the engine without the runner's share.", buckets=_STEP_S
)
RUNNING = Metric("num_requests_running", Kind.GAUGE, "Generations that hold a slot.")
WAITING = Metric("num_requests_waiting", Kind.GAUGE, "Accepted generations that wait for a slot.")
SLOTS = Metric("num_slots", Kind.GAUGE, "Slots of this replica.")
PROMPT_TOKENS = Metric("prompt_tokens_total", Kind.COUNTER, "Prompt tokens computed.")
GENERATION_TOKENS = Metric("generation_tokens_total", Kind.COUNTER, "Tokens of answers delivered.")
SUCCESSES = Metric(
    "request_success_total", Kind.COUNTER, "Generations that ended as they should.", labels=("finished_reason",)
)
CANCELLED = Metric("request_cancelled_total", Kind.COUNTER, "Generations whose caller left.")
FAILED = Metric(
    "request_failed_total",
    Kind.COUNTER,
    "Accepted generations that ended in a failure of ours, their own or that of another choice of the same request.",
)
REFUSED = Metric("request_refused_total", Kind.COUNTER, "Generations that were not accepted.", labels=("reason",))
RUNNER_FAILURES = Metric("runner_failures_total", Kind.COUNTER, "Times that the runner broke under the engine.")
HTTP_ERRORS = Metric(
    "http_errors_total", Kind.COUNTER, "Answers with an error as their status line.", labels=("status",)
)
HTTP_LATE_ERRORS = Metric(
    "http_late_errors_total",
    Kind.COUNTER,
    "Answers that failed after their status line, by an error event or by breaking off; by the status they would have had.",
    labels=("status",),
)
STARTUP_STAGE = Metric("startup_stage_seconds", Kind.GAUGE, "How long a stage of the start took.", labels=("stage",))
STARTUP_OVER_BUDGET = Metric(
    "startup_over_budget_seconds",
    Kind.GAUGE,
    "How far the start is beyond its budget, by the stage that runs; absent within the budget.",
    labels=("stage",),
)

METRICS = (
    TIME_TO_FIRST_TOKEN,
    INTER_TOKEN_LATENCY,
    REQUEST_LATENCY,
    QUEUE_TIME,
    PREFILL_TIME,
    DECODE_TIME,
    STEP_TIME,
    STEP_HOST_TIME,
    RUNNING,
    WAITING,
    SLOTS,
    PROMPT_TOKENS,
    GENERATION_TOKENS,
    SUCCESSES,
    CANCELLED,
    FAILED,
    REFUSED,
    RUNNER_FAILURES,
    HTTP_ERRORS,
    HTTP_LATE_ERRORS,
    STARTUP_STAGE,
    STARTUP_OVER_BUDGET,
)


class Sink(Protocol):
    """Where values go: Prometheus' client or Ray's. Every call is cheap and safe from any thread."""

    def add(self, metric: Metric, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Count a counter up."""

    def set(self, metric: Metric, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Move a gauge."""

    def observe(self, metric: Metric, value: float) -> None:
        """Add one observation to a histogram."""
