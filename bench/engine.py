"""What the engine costs besides its runner: host milliseconds per step with a runner that takes no time.

The runner is the simulated one with logits of three shapes, and its own share (a few list look-ups a row) is reported
apart. The clock is the thread's CPU time, so that other processes do not count, and the median over interleaved rounds is
taken.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from serving.engine.clock import Clock
from serving.engine.core import EngineCore
from serving.engine.limits import EngineLimits
from serving.engine.observer import StepReport, Unobserved
from serving.engine.request import GenerationRequest, SamplingParams
from serving.engine.runner import Decode, PromptChunk, StepOutput
from serving.engine.runners.simulated import SimulatedRunner, load_profile
from serving.engine.scheduler import Scheduler
from serving.model.catalog import KNOWN

SLOTS = 32
VOCABULARY = 49_152  # SmolLM2's
POSITIONS = 2048
STEPS = 100  # a round
ROUNDS = 5

# Rows of logits by their shape: what is cheap to draw from depends on it.
SHAPES: Mapping[str, Callable[[np.random.Generator], NDArray[np.float32]]] = {
    "sure": lambda rng: _sure(rng),
    "model": lambda rng: _like_a_models(rng),
    "noise": lambda rng: rng.standard_normal(VOCABULARY, np.float32) * 2,
}
DEFAULT = KNOWN["smollm2-135m-instruct"].sampling
SAMPLINGS: Mapping[str, SamplingParams] = {
    "greedy": SamplingParams(temperature=0),
    "SmolLM2's default": SamplingParams(temperature=DEFAULT["temperature"], top_p=DEFAULT["top_p"]),
    "temperature 1": SamplingParams(temperature=1.0),
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


class ShapedRunner(SimulatedRunner):
    """A simulated runner whose logits have a shape of our choice."""

    def __init__(self, logits: NDArray[np.float32], clock: Clock) -> None:
        super().__init__(load_profile("instant"), slots=SLOTS, positions=POSITIONS, clock=clock, vocabulary=VOCABULARY)
        self._shaped = logits

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        """As many rows as the simulated one returns."""
        logits = super().run(decodes, prompts).logits
        return StepOutput(logits=None if logits is None else self._shaped[: len(logits)])


def rows() -> list[dict[str, object]]:
    """One row for each shape of logits and way of sampling: milliseconds per step, all slots decoding."""
    rng = np.random.default_rng(0)
    logits = {shape: np.stack([make(rng) for _ in range(SLOTS)]) for shape, make in SHAPES.items()}
    steps = {(shape, name): _Steps() for shape in SHAPES for name in SAMPLINGS}
    for _ in range(ROUNDS):
        for (shape, name), observer in steps.items():
            _decode(logits[shape], SAMPLINGS[name], observer)
    return [_row(shape, name, observed) for (shape, name), observed in steps.items()]


def _sure(rng: np.random.Generator) -> NDArray[np.float32]:
    """As the simulated runner's own: one token far above noise."""
    logits = rng.standard_normal(VOCABULARY, np.float32)
    logits[rng.integers(VOCABULARY)] = 20.0
    return logits


def _like_a_models(rng: np.random.Generator) -> NDArray[np.float32]:
    """As SmolLM2's: a broad rest with a deviation of 3.5, far above it a few candidates, one to fifteen of which matter."""
    logits = rng.standard_normal(VOCABULARY).astype(np.float32) * 3.5 - 5
    candidates = rng.choice(VOCABULARY, 200, replace=False)
    logits[candidates] = rng.uniform(12, 20) - rng.uniform(0.5, 3.0) * np.log(np.arange(1, 201))
    return logits


def _decode(logits: NDArray[np.float32], sampling: SamplingParams, observer: _Steps) -> None:
    """One round: fill every slot, then decode."""
    clock = ThreadClock()
    runner = ShapedRunner(logits, clock)
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


def _row(shape: str, name: str, steps: _Steps) -> dict[str, object]:
    host_ms = sorted((report.took_s - report.run_s) * 1e3 for report in steps.reports)
    return {
        "bench": "engine_host_time",
        "logits": shape,
        "sampling": name,
        "temperature": SAMPLINGS[name].temperature,
        "top_p": SAMPLINGS[name].top_p,
        "slots": SLOTS,
        "vocabulary": VOCABULARY,
        "steps": len(host_ms),
        "host_cpu_ms_per_step": round(statistics.median(host_ms), 3),
        "host_cpu_ms_per_step_p90": round(host_ms[len(host_ms) * 9 // 10], 3),
        "simulated_run_cpu_ms_per_step": round(statistics.median(r.run_s for r in steps.reports) * 1e3, 3),
        "weight_bits": None,  # there is no model
        "kv_bits": None,
    }
