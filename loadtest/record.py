"""What is known of one request afterwards. All instants are seconds from the start of the run, on one monotonic clock."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Outcome(str, Enum):
    """Every request that was due ends in exactly one of these."""

    OK = "ok"
    RATE_LIMITED = "429"
    UNAVAILABLE = "503"
    SERVER_ERROR = "other_5xx"
    REFUSED = "other_4xx"  # the profile asks for something that the server does not do
    STREAM_ERROR = "stream_error"  # 200, then an error event
    TRUNCATED = "truncated"  # 200, then an end without finish reason or without terminator
    CONNECT_ERROR = "connect_error"  # no connection, or a fresh one that closed before any byte
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"  # by us: the profile's readers who leave, or a second interrupt
    NOT_SENT = "not_sent"  # the in-flight cap was reached


@dataclass(frozen=True, slots=True)
class Record:
    """One request; instants that were never reached are None."""

    index: int  # number of the arrival, or of the request in a closed loop
    stage: int
    outcome: Outcome
    scheduled_s: float  # when it was due; closed loop: when its user wanted to ask
    dispatched_s: float  # when we began with it; later than scheduled is schedule lag
    ended_s: float
    user: int | None = None  # None in an open loop
    turn: int = 0
    sent_s: float | None = None  # the first time its last byte was handed to the kernel
    token_s: tuple[float, ...] = ()  # one instant per event that carried text
    status: int | None = None  # of the last answer
    attempts: int = 1
    stale_connections: int = 0  # reused, closed before any byte, sent again on a fresh one
    prompt_tokens: int | None = None  # from the server's usage
    completion_tokens: int | None = None
    finish_reason: str | None = None
    pooled: bool = False
    replica: str | None = None  # x-replica-id
    request_id: str | None = None  # x-request-id
    fingerprint: str | None = None  # system_fingerprint: the runner behind the answer
    error: str | None = None

    @property
    def first_token_s(self) -> float | None:
        """Instant of the first event that carried text."""
        return self.token_s[0] if self.token_s else None

    @property
    def failed(self) -> bool:
        """Neither ok nor a reader who left on purpose."""
        return self.outcome not in (Outcome.OK, Outcome.CANCELLED)

    @property
    def counts_disagree(self) -> bool:
        """An ok answer whose usage is missing, or smaller than the events that carried text (one may carry several)."""
        if self.outcome is not Outcome.OK:
            return False
        return self.completion_tokens is None or len(self.token_s) > self.completion_tokens

    def shifted(self, by_s: float) -> Record:
        """The same request on a clock whose zero lies `by_s` earlier: a worker's record on its master's clock."""
        fields = self.to_wire()
        for name in ("scheduled_s", "dispatched_s", "ended_s", "sent_s"):
            if fields[name] is not None:
                fields[name] += by_s
        fields["token_s"] = [at_s + by_s for at_s in self.token_s]
        return Record.from_wire(fields)

    def to_wire(self) -> dict[str, Any]:
        """As plain values, for Locust's messages and for files."""
        return {**asdict(self), "outcome": self.outcome.value, "token_s": list(self.token_s)}

    @classmethod
    def from_wire(cls, fields: dict[str, Any]) -> Record:
        """The reverse of `to_wire`."""
        return cls(**{**fields, "outcome": Outcome(fields["outcome"]), "token_s": tuple(fields["token_s"])})
