"""Whether admitting by bucket is worth it: a decode costs the bucket of its longest sequence, so long ones slow all others.

The same mixed-length trace through the real scheduler in different orders of admission, on the simulated trn1 (step times
are estimates) and a virtual clock: seconds are the simulation's, and the same on every machine. `gap_s` is the mean
time between requests: with 0 all of them wait in a queue without bounds, 0.7 s is more than the machine can do, so that some are refused, 1.4 s is three quarters of it.
Ratios are to first-come. docs/decisions/
first-come-beside-buckets.md says what followed.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from serving.engine.clock import Clock, VirtualClock
from serving.engine.core import EngineCore
from serving.engine.limits import EngineLimits
from serving.engine.observer import Unobserved
from serving.engine.request import GenerationRequest, SamplingParams
from serving.engine.runner import RunnerSpec
from serving.engine.runners.simulated import SimulatedRunner, load_profile
from serving.engine.scheduler import Scheduler, Step
from serving.engine.state import GenerationState
from serving.errors import QueueFull

PROFILE, SLOTS, POSITIONS = "trn1.2xlarge-mistral-7b", 16, 4096
BUCKETS = (512, 1024, 2048, 4096)
REQUESTS = 400
QUEUE = 16  # as served; what finds it full is refused
LONG_SHARE = 0.15  # of requests with a prompt of 1200 to 3000 tokens; the others have 40 to 300
PATIENCE_S = 20.0  # past it a request goes first, whatever its bucket

# (bucket that is paid for now, oldest first) -> the order in which they are to be admitted
Order = Callable[[int, Sequence[GenerationState], float], Sequence[GenerationState]]


def first_come(_bucket: int, waiting: Sequence[GenerationState], _now_s: float) -> Sequence[GenerationState]:
    """What the scheduler does by itself."""
    return waiting


def within_bucket(bucket: int, waiting: Sequence[GenerationState], now_s: float) -> Sequence[GenerationState]:
    """Those first that do not raise the bucket that is paid for already; who has waited too long before all."""
    return sorted(waiting, key=lambda s: (now_s - s.submitted_s < PATIENCE_S, s.prompt_tokens >= bucket))


def shortest_first(_bucket: int, waiting: Sequence[GenerationState], now_s: float) -> Sequence[GenerationState]:
    """By prompt; who has waited too long before all."""
    return sorted(waiting, key=lambda s: (now_s - s.submitted_s < PATIENCE_S, s.prompt_tokens))


def longest_together(bucket: int, waiting: Sequence[GenerationState], now_s: float) -> Sequence[GenerationState]:
    """While a large bucket is paid for anyway, the long ones; else the short ones."""
    large = bucket > BUCKETS[1]
    return sorted(
        waiting, key=lambda s: (now_s - s.submitted_s < PATIENCE_S, (s.prompt_tokens >= BUCKETS[1]) is not large)
    )


ORDERS: Mapping[str, Order] = {
    "first-come": first_come,
    "within bucket": within_bucket,
    "shortest first": shortest_first,
    "long together": longest_together,
}


class _Ordered(Scheduler):
    """The scheduler over a queue that is put in order before each step."""

    def __init__(self, spec: RunnerSpec, limits: EngineLimits, *, clock: Clock, order: Order) -> None:
        super().__init__(spec, limits, clock=clock)
        self._order = order
        self._time = clock

    def schedule(self) -> Step:
        """Order, then as always."""
        oldest_first = sorted(self._queue, key=lambda state: state.submitted_s)
        longest = max((state.cached_tokens + 1 for state in self.slots), default=0)
        bucket = next(bucket for bucket in BUCKETS if bucket >= longest)
        ordered = self._order(bucket, oldest_first, self._time.now())
        self._queue.clear()
        self._queue.extend(ordered)
        return super().schedule()


@dataclass(frozen=True, slots=True)
class _Arrival:
    at_s: float
    request: GenerationRequest


def trace(mean_gap_s: float, *, seed: int) -> list[_Arrival]:
    """Short questions and some long documents, with answers of their own lengths."""
    rng = random.Random(seed)  # noqa: S311 - traffic, not secrets
    now_s, arrivals = 0.0, []
    for i in range(REQUESTS):
        now_s += mean_gap_s * rng.expovariate(1)
        is_long = rng.random() < LONG_SHARE
        prompt = tuple(
            rng.randrange(3, 200) for _ in range(rng.randint(1200, 3000) if is_long else rng.randint(40, 300))
        )
        answer = rng.randint(100, 500) if is_long else rng.randint(30, 250)
        sampling = SamplingParams(temperature=0)
        arrivals.append(_Arrival(now_s, GenerationRequest(f"r{i}", prompt, answer, sampling=sampling, ignore_eos=True)))
    return arrivals


def run(arrivals: Sequence[_Arrival], order: Order, *, queue: int) -> tuple[float, list[GenerationState]]:
    """Seconds until the last answer, and how each request fared."""
    clock = VirtualClock()
    runner = SimulatedRunner(load_profile(PROFILE), slots=SLOTS, positions=POSITIONS, clock=clock)
    limits = EngineLimits(
        queue_length=queue, longest_answer_s=1e9, longest_wait_s=1e8, prefill_budget_tokens=256, longest_step_s=1e9
    )
    scheduler = _Ordered(runner.spec, limits, clock=clock, order=order)
    core = EngineCore(runner, scheduler, lock=threading.Lock(), clock=clock, observer=Unobserved())
    coming, states = list(arrivals), list[GenerationState]()
    while coming or scheduler.runnable:
        if not scheduler.runnable:
            clock.sleep_until(coming[0].at_s)
        while coming and coming[0].at_s <= clock.now():
            arrival = coming.pop(0)
            with contextlib.suppress(QueueFull):
                states += scheduler.submit([arrival.request])
        core.step()
    return clock.now(), states


def rows(seeds: Sequence[int] = (1, 2, 3)) -> list[dict[str, object]]:
    """A row for each load and order: tokens a second and waits, means over the seeds, as ratios to first-come."""
    found = []
    for gap_s, queue in ((0.0, REQUESTS), (0.7, QUEUE), (1.05, QUEUE), (1.4, QUEUE)):
        figures = {
            name: [_figures(*run(trace(gap_s, seed=seed), order, queue=queue)) for seed in seeds]
            for name, order in ORDERS.items()
        }
        means = {n: {key: statistics.fmean(f[key] for f in fs) for key in fs[0]} for n, fs in figures.items()}
        base = means["first-come"]
        for name, mean in means.items():
            row: dict[str, object] = {"gap_s": gap_s, "order": name, "tokens_per_s": mean["tokens_per_s"]}
            row |= {f"{key} ratio": mean[key] / base[key] for key in mean}
            found.append(row)
    return found


def _figures(took_s: float, states: Sequence[GenerationState]) -> dict[str, float]:
    def waits(*, long: bool) -> list[float]:
        chosen = [s for s in states if (s.prompt_tokens >= BUCKETS[1]) is long]
        return sorted(s.first_token_s - s.submitted_s for s in chosen if s.first_token_s is not None)

    short, long = waits(long=False), waits(long=True)
    gaps = [
        (s.last_token_s - s.first_token_s) / (len(s.output_ids) - 1)
        for s in states
        if s.last_token_s is not None and s.first_token_s is not None
    ]
    return {
        "tokens_per_s": sum(len(s.output_ids) for s in states) / took_s,
        "accepted": float(len(states)),
        "short ttft mean": statistics.fmean(short),
        "short ttft p95": short[int(0.95 * len(short))],
        "long ttft p95": long[int(0.95 * len(long))],
        "per token": statistics.fmean(gaps),
    }


if __name__ == "__main__":
    from bench.__main__ import table

    print(table(rows()))
