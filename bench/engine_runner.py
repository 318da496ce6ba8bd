"""What scheduling, sampling and the way to the event loop cost: tokens a second of the engine ÷ its runner in a bare loop.

Both make the same calls to the same runner, taking turns: `bare` repeats, with nothing between them but picking the best
logits, the calls that the engine made in a first run, so that prompts share steps there as they do in the engine. The
engine is measured greedy, with the sampling that the model's makers recommend (the product's default) and at temperature
1; the bare loop has no part of what those cost.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from operator import truediv

from serving.engine.limits import EngineLimits
from serving.engine.request import GenerationRequest, SamplingParams
from serving.engine.runner import Decode, PromptChunk, Runner, StepOutput
from serving.engine.runners.openvino import OpenVinoRunner
from serving.engine.service import Engine, Generation
from serving.model.prepare import find
from serving.settings import Settings

Call = tuple[list[Decode], list[PromptChunk]]

SLOTS = (1, 4, 16, 32)
PROMPT_TOKENS, ANSWER_TOKENS = 57, 128
POSITIONS = 256
ROUNDS = 3
GREEDY = SamplingParams(temperature=0)
HOT = SamplingParams(temperature=1.0)
LIMITS = EngineLimits(
    queue_length=0, longest_answer_s=1e9, longest_wait_s=1e9, prefill_budget_tokens=256, longest_step_s=1e9
)


def rows() -> list[Mapping[str, object]]:
    """One row for each number of slots, in the default precision."""
    settings = Settings()
    folder = find(settings.model)
    found: list[Mapping[str, object]] = []
    for slots in SLOTS:
        runner = OpenVinoRunner(folder, slots=slots, positions=POSITIONS, precision=settings.runner.precision)
        found.append(row(runner, _prompts(slots, runner.spec.vocabulary), default=folder.sampling))
    return found


class Recorder:
    """A runner that keeps the calls that are made to it; everything else is the runner's own."""

    def __init__(self, runner: Runner) -> None:
        self.spec = runner.spec
        self.calls: list[Call] | None = None  # None: not kept
        self.set_sampling, self.reset, self.close = runner.set_sampling, runner.reset, runner.close
        self._runner = runner

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        """The runner's; the call is kept first."""
        if self.calls is not None:
            self.calls.append((list(decodes), list(prompts)))
        return self._runner.run(decodes, prompts)


def row(
    runner: Runner, prompts: Sequence[tuple[int, ...]], *, default: SamplingParams, answer_tokens: int = ANSWER_TOKENS
) -> Mapping[str, object]:
    """The bare loop and the engine side by side, for one request a slot."""
    recorder = Recorder(runner)
    engine = Engine(recorder, LIMITS)
    engine.start()

    def through(sampling: SamplingParams) -> float:
        return asyncio.run(_through(engine, prompts, sampling, answer_tokens=answer_tokens))

    calls: list[Call] = []
    recorder.calls = calls
    through(GREEDY)
    recorder.calls = None
    tokens = len(prompts) * answer_tokens
    ways: dict[str, Callable[[], float]] = {
        "bare": lambda: _bare(runner, calls, tokens=tokens),
        "greedy": lambda: through(GREEDY),
        "default": lambda: through(default),
        "temperature_1": lambda: through(HOT),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(way())
    engine.stop()
    medians = {name: statistics.median(found) for name, found in rates.items()}
    spec = runner.spec
    return {
        "slots": spec.slots,
        "bare": "the engine's own calls, repeated",
        "calls": len(calls),
        "bare_tok_s": medians.pop("bare"),
        **{f"{name}_tok_s": rate for name, rate in medians.items()},
        **{f"{name}_ratio": statistics.median(map(truediv, rates[name], rates["bare"])) for name in medians},
        "default": f"temperature {default.temperature:g}, top_p {default.top_p:g}",
        "weight_bits": spec.weight_bits,
        "kv_bits": spec.kv_bits,
    }


def _prompts(slots: int, vocabulary: int) -> list[tuple[int, ...]]:
    rng = random.Random(0)  # noqa: S311 - prompts, not secrets
    return [tuple(rng.randrange(100, vocabulary) for _ in range(PROMPT_TOKENS)) for _ in range(slots)]


def _bare(runner: Runner, calls: Sequence[Call], *, tokens: int) -> float:
    """Tokens a second, the prompts' time included; the engine's thread sleeps meanwhile."""
    began_s = time.perf_counter()
    for decodes, prompts in calls:
        logits = runner.run(decodes, prompts).logits
        if logits is not None and len(logits):
            logits.argmax(-1)
    return tokens / (time.perf_counter() - began_s)


async def _through(
    engine: Engine, prompts: Sequence[tuple[int, ...]], sampling: SamplingParams, *, answer_tokens: int
) -> float:
    began_s = time.perf_counter()
    streams = engine.submit(
        [
            GenerationRequest(str(i), prompt, answer_tokens, sampling=sampling, ignore_eos=True)
            for i, prompt in enumerate(prompts)
        ]
    )
    counts = await asyncio.gather(*(_count(stream) for stream in streams))
    return sum(counts) / (time.perf_counter() - began_s)


async def _count(stream: Generation) -> int:
    return sum([len(update.tokens) async for update in stream])
