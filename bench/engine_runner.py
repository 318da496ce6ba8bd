"""What scheduling, sampling and the way to the event loop cost: tokens a second of the engine ÷ its runner in a bare loop.

Both decode the same prompts for the same number of steps on the same runner, taking turns; the bare loop picks the best
logit and does nothing else. `sampled` is the engine with temperature 0.8 and top_p 0.95, which the bare loop has no part of.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Mapping

from serving.engine.limits import EngineLimits
from serving.engine.request import GenerationRequest, SamplingParams
from serving.engine.runner import Decode, PromptChunk, Runner
from serving.engine.runners.openvino import OpenVinoRunner
from serving.engine.service import Engine, Generation
from serving.model.prepare import find
from serving.settings import Settings

SLOTS = (1, 4, 16, 32)
PROMPT_TOKENS, ANSWER_TOKENS = 57, 128
POSITIONS = 256
ROUNDS = 3
GREEDY = SamplingParams(temperature=0)
SAMPLED = SamplingParams(temperature=0.8, top_p=0.95)
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
        found.append(_row(runner, _prompts(slots, runner.spec.vocabulary)))
    return found


def _row(runner: Runner, prompts: list[tuple[int, ...]]) -> Mapping[str, object]:
    engine = Engine(runner, LIMITS)
    engine.start()
    ways: dict[str, Callable[[], float]] = {
        "bare": lambda: _bare(runner, prompts),
        "engine": lambda: asyncio.run(_through(engine, prompts, GREEDY)),
        "sampled": lambda: asyncio.run(_through(engine, prompts, SAMPLED)),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(way())
    engine.stop()
    bare, through, sampled = (statistics.median(rates[name]) for name in ways)
    spec = runner.spec
    return {
        "slots": spec.slots,
        "bare_tok_s": bare,
        "engine_tok_s": through,
        "ratio": through / bare,
        "sampled_tok_s": sampled,
        "sampled_ratio": sampled / bare,
        "weight_bits": spec.weight_bits,
        "kv_bits": spec.kv_bits,
    }


def _prompts(slots: int, vocabulary: int) -> list[tuple[int, ...]]:
    rng = random.Random(0)  # noqa: S311 - prompts, not secrets
    return [tuple(rng.randrange(100, vocabulary) for _ in range(PROMPT_TOKENS)) for _ in range(slots)]


def _bare(runner: Runner, prompts: list[tuple[int, ...]]) -> float:
    """Tokens a second, the prompts' time included; the engine's thread sleeps meanwhile."""
    began_s = time.perf_counter()
    tokens = []
    for slot, prompt in enumerate(prompts):
        tokens.append(_best(runner, [], [PromptChunk(slot, 0, prompt, last=True)])[0])
    for position in range(PROMPT_TOKENS, PROMPT_TOKENS + ANSWER_TOKENS - 1):
        tokens = _best(runner, [Decode(slot, token, position) for slot, token in enumerate(tokens)], [])
    return len(prompts) * ANSWER_TOKENS / (time.perf_counter() - began_s)


def _best(runner: Runner, decodes: list[Decode], prompts: list[PromptChunk]) -> list[int]:
    logits = runner.run(decodes, prompts).logits
    if logits is None:
        raise TypeError("this benchmark is for runners that return logits")
    return [int(token) for token in logits.argmax(-1)]


async def _through(engine: Engine, prompts: list[tuple[int, ...]], sampling: SamplingParams) -> float:
    began_s = time.perf_counter()
    streams = engine.submit(
        [
            GenerationRequest(str(i), prompt, ANSWER_TOKENS, sampling=sampling, ignore_eos=True)
            for i, prompt in enumerate(prompts)
        ]
    )
    counts = await asyncio.gather(*(_count(stream) for stream in streams))
    return sum(counts) / (time.perf_counter() - began_s)


async def _count(stream: Generation) -> int:
    return sum([len(update.tokens) async for update in stream])
