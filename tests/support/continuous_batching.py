"""Random traffic through the engine's core on a real runner: alone, one request after the other, and all at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from serving.engine.clock import VirtualClock
from serving.engine.core import EngineCore
from serving.engine.observer import Unobserved
from serving.engine.request import FinishReason, GenerationRequest
from serving.engine.runner import Runner
from serving.engine.scheduler import Scheduler
from tests.support.generations import GREEDY, limits


@dataclass(frozen=True)
class Crowd:
    """What a run in company gave."""

    outputs: list[list[int]]  # of a cancelled request, what it had by then
    cancelled: int
    cancelled_in_slots: int  # of those, the ones that were being computed
    busiest: int  # requests that were in slots at once


def traffic(number: int, edges: Sequence[int], *, longest: int, vocabulary: int, seed: int) -> list[GenerationRequest]:
    """Requests whose prompts have every length of `edges` at least once, and whose answers end near them too."""
    rng = random.Random(seed)  # noqa: S311 - traffic, not secrets
    found = []
    for i in range(number):
        length = edges[i] if i < len(edges) else rng.choice([rng.choice(edges), rng.randint(1, max(edges))])
        length = min(length, longest - 1)
        prompt = tuple(rng.randrange(3, vocabulary) for _ in range(length))
        answer = min(rng.choice([1, 2, 3, 5, 8, 13, 34]), longest - length)
        found.append(GenerationRequest(f"r{i}", prompt, answer, sampling=GREEDY, ignore_eos=True))
    rng.shuffle(found)
    return found


def alone(runner: Runner, requests: Sequence[GenerationRequest]) -> list[list[int]]:
    """Each with the whole runner for itself, its prompt in one piece."""
    scheduler, core = _engine(runner, budget_tokens=1 << 20, waiting=0)
    outputs = []
    for request in requests:
        [state] = scheduler.submit([request])
        while state.finished is None:
            core.step()
        outputs.append(list(state.output_ids))
    return outputs


def together(
    runner: Runner, requests: Sequence[GenerationRequest], *, budget_tokens: int, cancelling: float, seed: int
) -> Crowd:
    """All of them, arriving at random; each step one is cancelled with probability `cancelling`, in a slot or waiting."""
    rng = random.Random(seed)  # noqa: S311 - traffic, not secrets
    scheduler, core = _engine(runner, budget_tokens=budget_tokens, waiting=len(requests))
    coming, states, busiest = list(requests), [], 0
    while coming or scheduler.runnable:
        while coming and rng.random() < 0.5:
            states += scheduler.submit([coming.pop(0)])
        core.step()
        busiest = max(busiest, len(scheduler.slots))
        live = [s for s in states if s.finished is None]
        if live and rng.random() < cancelling:
            in_slots = [s for s in live if s.slot is not None]
            scheduler.cancel(rng.choice(rng.choice([in_slots or live, live])), FinishReason.CANCELLED)
    scheduler.slots.check_integrity()
    reasons = [s.finished.reason for s in states if s.finished is not None]
    assert set(reasons) <= {FinishReason.LENGTH, FinishReason.CANCELLED}
    cancelled = [s for s in states if s.finished is not None and s.finished.reason is FinishReason.CANCELLED]
    return Crowd(
        outputs=[list(s.output_ids) for s in states],
        cancelled=len(cancelled),
        cancelled_in_slots=sum(bool(s.output_ids) for s in cancelled),
        busiest=busiest,
    )


def same_as_far_as_it_went(crowd: Crowd, expected: Sequence[Sequence[int]]) -> int:
    """How many outputs are what they are alone; a cancelled one up to where it was cancelled."""
    return sum(out == list(ref[: len(out)]) for out, ref in zip(crowd.outputs, expected, strict=True))


def _engine(runner: Runner, *, budget_tokens: int, waiting: int) -> tuple[Scheduler, EngineCore]:
    clock = VirtualClock()
    allowed = limits(prefill_budget_tokens=budget_tokens, queue_length=waiting, longest_wait_s=1e9)
    scheduler = Scheduler(runner.spec, allowed, clock=clock)
    return scheduler, EngineCore(runner, scheduler, lock=threading.Lock(), clock=clock, observer=Unobserved())
