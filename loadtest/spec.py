"""A load test as data: what a profile file says, validated, with units in the names.

Nothing here decides anything; `arrivals`, `prompts`, `slo`, `honesty` and `verdict` do, from these values.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from loadtest.stages import SCALE_IN, SCALE_OUT

Rate = Annotated[float, Field(ge=0, le=10_000, description="Requests per second.")]
LONGEST_S = 86_400
Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Constant(_Part):
    """The same rate all along."""

    shape: Literal["constant"]
    per_s: Rate


class Ramp(_Part):
    """A straight line from one rate to another."""

    shape: Literal["ramp"]
    from_per_s: Rate
    to_per_s: Rate


class Step(_Part):
    """Levels of equal length, one after the other."""

    shape: Literal["step"]
    levels_per_s: tuple[Rate, ...] = Field(min_length=2)


class Spike(_Part):
    """A base rate with one burst in it."""

    shape: Literal["spike"]
    base_per_s: Rate
    peak_per_s: Rate
    start_s: float = Field(ge=0)
    length_s: Seconds


class Sine(_Part):
    """A day in small: mean + amplitude × sin(2π t / period)."""

    shape: Literal["sine"]
    mean_per_s: Rate
    amplitude_per_s: Rate
    period_s: Seconds

    @model_validator(mode="after")
    def _never_negative(self) -> Sine:
        if self.amplitude_per_s > self.mean_per_s:
            raise ValueError("amplitude_per_s must not exceed mean_per_s: a rate cannot be negative")
        return self


class Replay(_Part):
    """Instants of a recorded trace: a text file with one offset in seconds a line, relative to the profile."""

    shape: Literal["replay"]
    file: Path
    offsets_s: tuple[float, ...] = Field((), description="Filled in by the reader from `file`.")


RateShape = Annotated[Constant | Ramp | Step | Spike | Sine | Replay, Field(discriminator="shape")]


def never_sent(offset_s: float, duration_s: float) -> str:
    """Why an offset of a trace lies in no stage of this length; empty where it does."""
    if not math.isfinite(offset_s) or offset_s < 0:
        return "is not an offset from the stage's start"
    return "" if offset_s < duration_s else f"is past the stage's end, duration_s {duration_s:g}"


class Stage(_Part):
    """One part of the run; every figure is reported per stage, so a ramp never pollutes a steady state."""

    name: str = Field(min_length=1)
    duration_s: Seconds
    rate: RateShape | None = Field(None, description="Open loop: how arrivals come.")
    users: int | None = Field(None, ge=0, le=10_000, description="Closed loop: users at once.")
    warmup: bool = Field(False, description="Sent, but in no total and no SLO.")
    until_scaled: bool = Field(
        False,
        description="Closed loop: over soon after as many replicas as its users ask for have answered; duration_s at the latest.",
    )

    @model_validator(mode="after")
    def _sends_all_of_its_trace(self) -> Stage:
        for offset_s in self.rate.offsets_s if isinstance(self.rate, Replay) else ():
            if why := never_sent(offset_s, self.duration_s):
                raise ValueError(f"{offset_s:g} {why}")
        return self


class Fixed(_Part):
    """Always the same."""

    kind: Literal["fixed"]
    value: float = Field(ge=0)

    @property
    def most(self) -> float:
        """The largest that can be drawn."""
        return self.value


class _Range(_Part):
    least: float = Field(ge=0)
    most: float

    @field_validator("most")
    @classmethod
    def _not_below_least(cls, most: float, info: ValidationInfo) -> float:
        least = info.data.get("least")
        if least is not None and most < least:
            raise ValueError(f"{most:g} is below `least`, which is {least:g}")
        return most


class Uniform(_Range):
    """Any value between two, equally likely."""

    kind: Literal["uniform"]


class Lognormal(_Range):
    """A long tail, as prompt and answer lengths have; cut to [least, most]."""

    kind: Literal["lognormal"]
    median: float = Field(gt=0)
    sigma: float = Field(gt=0, le=3)


def _number_is_fixed(value: Any) -> Any:
    return {"kind": "fixed", "value": value} if isinstance(value, int | float) else value


Distribution = Annotated[
    Fixed | Uniform | Lognormal, Field(discriminator="kind"), BeforeValidator(_number_is_fixed)
]  # a bare number in a profile is `fixed`


class Prompts(_Part):
    """What is asked; lengths in words, because only the server knows its tokenizer (tokens come from its usage)."""

    system: str | None = None
    words: Distribution = Lognormal(kind="lognormal", median=40, sigma=0.6, least=4, most=300)
    answer_tokens: Distribution = Lognormal(kind="lognormal", median=60, sigma=0.5, least=8, most=200)
    turns: Distribution = Field(Fixed(kind="fixed", value=1), description="Closed loop: turns of one conversation.")
    think_time_s: Distribution = Field(Fixed(kind="fixed", value=0), description="Closed loop: between two turns.")
    unique_share: Share = Field(1.0, description="The rest is drawn from a pool of `pool` prompts, as caches like it.")
    pool: int = Field(8, ge=1)
    ignore_eos: bool = Field(True, description="Answers have exactly the asked length, so that load does not drift.")
    temperature: float = Field(0.7, ge=0, le=2)

    @property
    def users_pause(self) -> bool:
        """Whether a closed loop's users can be without a request: between the turns of a conversation."""
        return round(self.turns.most) > 1 and self.think_time_s.most > 0


class Sending(_Part):
    """How a request is sent, and when it is given up."""

    model: str | None = Field(None, description="None: the first that /v1/models lists.")
    timeout_s: Seconds = Field(300, description="From sent to the last byte; larger than the scale-out budget.")
    connect_timeout_s: Seconds = 5
    reuse_connections: bool = True
    in_flight_cap: int = Field(512, ge=1, le=4096, description="Arrivals beyond it are counted, not sent.")
    honour_retry_after: bool = Field(False, description="Send again after 429 or 503, when the server says so.")
    most_retries: int = Field(3, ge=0, le=10)
    cancel_share: Share = Field(0.0, description="Share of requests whose reader leaves early.")
    cancel_after_tokens: int = Field(5, ge=1)


class Slo(_Part):
    """When a request was good (all limits that are set hold), and which share must be."""

    ttft_s: Seconds | None = None
    itl_s: Seconds | None = Field(None, description="Limit for the p95 of one answer's gaps.")
    e2e_s: Seconds | None = None
    goodput: Share = Field(0.95, description="Least share of good requests.")
    errors: Share = Field(0.01, description="Largest share of failed requests.")
    scale_with_speed: tuple[Literal["ttft_s", "itl_s", "e2e_s"], ...] = Field(
        (), description="Limits that are production's: on a target that rehearses they are divided by its speed."
    )


class ClientLimits(_Part):
    """Past these the client measures itself, and the run is void."""

    schedule_lag_p99_s: Seconds = 0.05
    loop_lag_p99_s: Seconds = 0.1
    cpu_share_p95: float = Field(0.9, gt=0, description="Of one core: a gevent process cannot use more.")


class Scaling(_Part):
    """What `verify` demands of the autoscaler."""

    load_stage: str | None = Field(None, description="Name of the stage whose start is load-applied; None: first.")
    settle_s: float = Field(180, ge=0, description="How long to wait for the fewest replicas before the load.")
    scale_in_s: Seconds = Field(300, description="How long after the load to wait for the fewest replicas.")
    stage_budget_s: dict[str, Seconds] = Field(
        default_factory=dict, description="Longest time a stage of the chain may take."
    )

    @field_validator("stage_budget_s")
    @classmethod
    def _of_stages_that_there_are(cls, budget_s: dict[str, float]) -> dict[str, float]:
        known = (*SCALE_OUT, *SCALE_IN)
        for name in budget_s:
            if name not in known:  # its budget would never be exceeded
                raise ValueError(f"`{name}` is no stage of the chain: give one of {', '.join(known)}")
        return budget_s


class Cost(_Part):
    """Prices; None where nothing is paid for."""

    node_usd_per_h: float | None = Field(None, gt=0)
    hosted_usd_per_million_tokens: float | None = Field(None, gt=0)


class Bounds(_Part):
    """No profile runs beyond these, whatever its stages say."""

    requests: int = Field(20_000, ge=1, le=200_000)
    duration_s: float = Field(3_600, gt=0, le=LONGEST_S)


class Profile(_Part):
    """One load test."""

    name: str = Field(min_length=1, pattern=r"^[a-z0-9-]+$")
    description: str
    seed: int
    loop: Literal["open", "closed"]
    process: Literal["poisson", "even"] = Field("poisson", description="Open loop: how instants are drawn from a rate.")
    stages: tuple[Stage, ...] = Field(min_length=1)
    prompts: Prompts = Prompts()
    sending: Sending = Sending()
    slo: Slo = Slo()
    client_limits: ClientLimits = ClientLimits()
    scaling: Scaling = Scaling()
    cost: Cost = Cost()
    bounds: Bounds = Bounds()
    find_knee: bool = Field(
        False, description="Stages are rising rates: say at which one the service stops keeping up."
    )

    @property
    def duration_s(self) -> float:
        """Of all stages together."""
        return sum(stage.duration_s for stage in self.stages)

    @property
    def load_stage(self) -> int:
        """Index of the stage whose start is load-applied."""
        if self.scaling.load_stage is None:
            return next((i for i, stage in enumerate(self.stages) if not stage.warmup), 0)
        return [stage.name for stage in self.stages].index(self.scaling.load_stage)

    @property
    def most_users(self) -> int:
        """Of the heaviest stage of a closed loop."""
        return max(stage.users or 0 for stage in self.stages)

    def stage_starts_s(self) -> tuple[float, ...]:
        """Offset at which each stage begins."""
        starts, at_s = [], 0.0
        for stage in self.stages:
            starts.append(at_s)
            at_s += stage.duration_s
        return tuple(starts)

    def shortened(self, stage: int, duration_s: float) -> Profile:
        """The same, but that this stage lasted so long."""
        stages = list(self.stages)
        stages[stage] = stages[stage].model_copy(update={"duration_s": duration_s})
        return self.model_copy(update={"stages": tuple(stages)})

    @model_validator(mode="after")
    def _stages_fit_the_loop(self) -> Profile:
        wanted = "rate" if self.loop == "open" else "users"
        for i, stage in enumerate(self.stages):
            if (stage.rate is None) == (wanted == "rate") or (stage.users is None) == (wanted == "users"):
                raise ValueError(f"stages.{i} ({stage.name}): a loop that is {self.loop} needs `{wanted}` and only it")
            if stage.until_scaled and self.loop == "open":
                raise ValueError(f"stages.{i} ({stage.name}): until_scaled is for a loop that is closed")
            if stage.until_scaled and self.prompts.users_pause:
                raise ValueError(
                    f"stages.{i} ({stage.name}): until_scaled cannot know how many replicas users with think time ask for"
                )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"stages: two are called {twice}: give one of them another name")
        if self.scaling.load_stage not in (None, *names):
            raise ValueError(
                f"scaling.load_stage: no stage is called {self.scaling.load_stage}: give one of {', '.join(names)}"
            )
        return self

    @model_validator(mode="after")
    def _a_knee_can_be_found(self) -> Profile:
        timed = any(limit is not None for limit in (self.slo.ttft_s, self.slo.itl_s, self.slo.e2e_s))
        if self.find_knee and (self.loop == "closed" or not timed):
            raise ValueError(
                "find_knee needs a loop that is open and a limit in time (slo.ttft_s, itl_s or e2e_s): "
                "without them a service that falls ever farther behind keeps every rate"
            )
        return self

    @model_validator(mode="after")
    def _stays_within_bounds(self) -> Profile:
        if self.duration_s > self.bounds.duration_s:
            raise ValueError(
                f"stages last {self.duration_s:g} s, more than bounds.duration_s {self.bounds.duration_s:g}: "
                "shorten them, or raise it"
            )
        return self
