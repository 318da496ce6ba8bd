"""When requests are due: absolute offsets from a seed, computed before anything is sent. Pure.

Every rate shape is one function, the expected number of arrivals up to t; instants are its inverse, taken at 0, 1, 2, …
(`even`) or at the partial sums of unit exponentials (`poisson`, the time-rescaling theorem).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadtest import seeds
from loadtest.spec import Constant, Profile, Ramp, RateShape, Replay, Sine, Spike, Stage, Step


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that is due."""

    index: int
    at_s: float  # from the start of the run
    stage: int


def schedule(profile: Profile) -> tuple[Arrival, ...]:
    """Every arrival of an open-loop profile, in order; the same for the same seed, whoever asks.

    Raises ValueError when there are more than the profile's bounds allow.
    """
    found: list[Arrival] = []
    for number, (stage, start_s) in enumerate(zip(profile.stages, profile.stage_starts_s(), strict=True)):
        rng = seeds.stream(profile.seed, "arrivals", number)
        for offset_s in offsets(stage, rng, even=profile.process == "even"):
            if len(found) >= profile.bounds.requests:
                raise ValueError(
                    f"the stages ask for more than bounds.requests = {profile.bounds.requests} requests: lower their rates, or raise it"
                )
            found.append(Arrival(len(found), start_s + offset_s, number))
    return tuple(found)


def offsets(stage: Stage, rng: random.Random, *, even: bool) -> Iterator[float]:
    """Offsets in [0, duration) of one stage's arrivals, rising, in seconds."""
    if stage.rate is None:
        return
    if isinstance(stage.rate, Replay):
        yield from sorted(stage.rate.offsets_s)
        return
    rate = stage.rate
    total = expected(rate, stage.duration_s, stage.duration_s)
    count = 0.0 if even else rng.expovariate(1.0)
    while count < total:
        yield _inverse(lambda t_s: expected(rate, t_s, stage.duration_s), count, stage.duration_s)
        count += 1.0 if even else rng.expovariate(1.0)


def expected(rate: RateShape, t_s: float, duration_s: float) -> float:
    """Expected arrivals in [0, t) of a stage that lasts `duration_s`: the integral of its rate."""
    match rate:
        case Constant():
            return rate.per_s * t_s
        case Ramp():
            return rate.from_per_s * t_s + (rate.to_per_s - rate.from_per_s) * t_s * t_s / (2 * duration_s)
        case Step():
            level_s = duration_s / len(rate.levels_per_s)
            return sum(r * _overlap_s(t_s, i * level_s, level_s) for i, r in enumerate(rate.levels_per_s))
        case Spike():
            burst_s = _overlap_s(t_s, rate.start_s, rate.length_s)
            return rate.base_per_s * (t_s - burst_s) + rate.peak_per_s * burst_s
        case Sine():
            turn = 2 * math.pi / rate.period_s
            return rate.mean_per_s * t_s + rate.amplitude_per_s * (1 - math.cos(turn * t_s)) / turn
        case Replay():
            return float(sum(at_s < t_s for at_s in rate.offsets_s))


def _overlap_s(t_s: float, start_s: float, length_s: float) -> float:
    return min(max(t_s - start_s, 0.0), length_s)


def _inverse(function: Callable[[float], float], wanted: float, most: float) -> float:
    """The t in [0, most] at which the rising `function` reaches `wanted`, to a nanosecond."""
    low, high = 0.0, most
    while high - low > 1e-9:
        middle = (low + high) / 2
        if function(middle) < wanted:
            low = middle
        else:
            high = middle
    return low
