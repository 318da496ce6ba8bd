"""What the engine costs besides its runner: host milliseconds per step with a runner that takes no time.

The runner is the simulated one, and its own share (a few
list look-ups a row) is reported apart. The clock is the thread's CPU time, so that other processes do not count, and
the median over interleaved rounds is taken.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping

from serving.engine.core import EngineCore
from serving.engine.limits import EngineLimits
from serving.engine.observer import StepReport, Unobserved
from serving.engine.request import GenerationRequest, SamplingParams
from serving.engine.runners.simulated import SimulatedRunner, load_profile
from serving.engine.scheduler import Scheduler

SLOTS = 32
VOCABULARY = 49_152  # SmolLM2's
POSITIONS = 2048
STEPS = 100  # a round
ROUNDS = 5

SAMPLINGS: Mapping[str, SamplingParams] = {
    "greedy": SamplingParams(temperature=0),
    "temperature": SamplingParams(temperature=1.0),
    "temperature, top_p": SamplingParams(temperature=0.8, top_p=0.95),
    "temperature, top_k": SamplingParams(temperature=0.8, top_k=40),
    "temperature, min_p": SamplingParams(temperature=0.8, min_p=0.05),
    "temperature, penalties": SamplingParams(temperature=1.0, presence_penalty=0.5, frequency_penalty=0.5),
    "greedy, logprobs": SamplingParams(temperature=0, logprobs=5),
}


class ThreadClock:
    """CPU seconds of the calling thread. Nothing here waits, so there is nothing to sleep for."""

    def now(self) -> float:
        """CPU seconds of this thread so far."""
        return time.thread_time()

    def sleep_until(self, when_s: float) -> None:
        """Refuse: a runner that takes time has no place here."""
        if when_s > self.now():
            raise ValueError("this bench measures a runner that takes no time")


class _Steps(Unobserved):
    """Keeps the reports of full decode steps."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []

    def step(self, report: StepReport) -> None:
        """Keep it, unless it also computed prompts."""
        if report.prompt_tokens == 0 and report.decode_rows == SLOTS:
            self.reports.append(report)


def rows() -> list[dict[str, object]]:
    """One row for each way of sampling: milliseconds per step, all slots decoding."""
    steps: dict[str, _Steps] = {name: _Steps() for name in SAMPLINGS}
    for _ in range(ROUNDS):
        for name, sampling in SAMPLINGS.items():
            _decode(sampling, steps[name])
    return [_row(name, observed) for name, observed in steps.items()]


def _decode(sampling: SamplingParams, observer: _Steps) -> None:
    """One round: fill every slot, then decode."""
    clock = ThreadClock()
    runner = SimulatedRunner(
        load_profile("instant"), slots=SLOTS, positions=POSITIONS, clock=clock, vocabulary=VOCABULARY
    )
    limits = EngineLimits(
        queue_length=0, longest_answer_s=1e9, longest_wait_s=1e9, prefill_budget_tokens=10**6, longest_step_s=1e9
    )
    scheduler = Scheduler(runner.spec, limits, clock=clock)
    core = EngineCore(runner, scheduler, lock=threading.Lock(), clock=clock, observer=observer)
    scheduler.submit(
        [
            GenerationRequest(str(slot), tuple(range(3, 60)), max_tokens=STEPS + 2, sampling=sampling, ignore_eos=True)
            for slot in range(SLOTS)
        ]
    )
    while scheduler.runnable:
        core.step()


def _row(name: str, steps: _Steps) -> dict[str, object]:
    host_ms = sorted((report.took_s - report.run_s) * 1e3 for report in steps.reports)
    return {
        "bench": "engine_host_time",
        "sampling": name,
        "slots": SLOTS,
        "vocabulary": VOCABULARY,
        "steps": len(host_ms),
        "host_cpu_ms_per_step": round(statistics.median(host_ms), 3),
        "host_cpu_ms_per_step_p90": round(host_ms[len(host_ms) * 9 // 10], 3),
        "simulated_run_cpu_ms_per_step": round(statistics.median(r.run_s for r in steps.reports) * 1e3, 3),
        "weight_bits": None,  # there is no model
        "kv_bits": None,
    }
