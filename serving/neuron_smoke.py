"""One command for whoever has a trn1: whether the chip keeps the contract, and how long each graph takes.

    python -m serving.neuron_smoke --model FOLDER [--set neuron.artifacts=s3://…] [-o json]

Greedy answers in company must be the ones that each prompt gets alone, for a one-token prompt, at a bucket's edge and in a slot
that was used before; then every prefill and decode bucket is timed. Exit code 0, or 1 with what differed or failed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serving import setting_flags
from serving.engine.clock import RealClock
from serving.engine.request import SamplingParams
from serving.engine.runner import Decode, PromptChunk, Runner, RunnerError
from serving.errors import ChatbotError
from serving.neuron import neuron_plan, open_neuron
from serving.settings import Settings
from serving.startup import Stages
from serving.telemetry.prometheus import PrometheusSink

SCHEMA = "chatbot.neuron-smoke/v1"
ANSWER_TOKENS = 8
_ROUNDS = 5
_GREEDY = SamplingParams(temperature=0)


@dataclass(slots=True)
class _Live:
    """A prompt in its slot, and what came out so far."""

    slot: int
    prompt: Sequence[int]
    output: list[int]

    @property
    def decode(self) -> Decode:
        return Decode(self.slot, self.output[-1], len(self.prompt) + len(self.output) - 1)


def smoke(settings: Settings) -> dict[str, Any]:
    """The report. Raises SetupError when the model does not start, RunnerError when the chip fails."""
    sink = PrometheusSink()
    stages = Stages(sink, RealClock(), settings.startup.budget_s)
    runner, _ = open_neuron(settings, stages=stages)
    plan = neuron_plan(settings)
    try:
        prompts = _prompts(runner, [1, 2, plan.prefill_buckets[0], plan.prefill_buckets[0] - 1])
        differences = _differences(runner, prompts)
        times = [_timed_prefill(runner, bucket) for bucket in plan.prefill_buckets]
        times += [_timed_decode(runner, bucket) for bucket in plan.decode_buckets]
    finally:
        runner.close()
    return {
        "schema": SCHEMA,
        "fingerprint": runner.spec.fingerprint,
        "startup_s": stages.seconds,
        "differences": differences,
        "times": times,
    }


def _prompts(runner: Runner, lengths: Sequence[int]) -> list[list[int]]:
    """One for each slot, the `lengths` in turn; as many again are put into used slots."""
    rng = random.Random(0)  # noqa: S311 - prompts, not secrets
    spec = runner.spec
    longest = min(spec.longest_prompt, spec.positions - ANSWER_TOKENS)
    count = 2 * spec.slots
    return [
        [rng.randrange(3, spec.vocabulary) for _ in range(max(1, min(lengths[i % len(lengths)], longest)))]
        for i in range(count)
    ]


def _differences(runner: Runner, prompts: Sequence[Sequence[int]]) -> list[str]:
    alone = [_answers(runner, [prompt])[0] for prompt in prompts]
    half = runner.spec.slots
    company = _answers(runner, prompts[:half]) + _answers(runner, prompts[half:])
    return [
        f"a prompt of {len(prompt)} tokens: alone {a}, in company {c}"
        for prompt, a, c in zip(prompts, alone, company, strict=True)
        if a != c
    ]


def _answers(runner: Runner, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Greedy answers; a prompt joins in each step, while those before it decode.

    An answer that is long enough goes on while its slot has room, so that the company grows to all slots.
    """
    live: list[_Live] = []
    for slot, prompt in enumerate(prompts):
        runner.set_sampling(slot, _GREEDY)
        [first] = _advance(runner, live, [PromptChunk(slot, 0, prompt, last=True)])
        live.append(_Live(slot, prompt, [first]))
    while any(len(one.output) < ANSWER_TOKENS for one in live):
        _advance(runner, live, [])
    return [one.output[:ANSWER_TOKENS] for one in live]


def _advance(runner: Runner, live: Sequence[_Live], prompts: Sequence[PromptChunk]) -> list[int]:
    """A token more for all that have room; the first tokens of `prompts`."""
    decoding = [one for one in live if one.decode.position < runner.spec.positions]
    tokens = _step(runner, [one.decode for one in decoding], prompts)
    for one, token in zip(decoding, tokens, strict=False):
        one.output.append(token)
    return tokens[len(decoding) :]


def _step(runner: Runner, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> list[int]:
    output = runner.run(decodes, prompts)
    if output.token_ids is not None:
        return [int(token) for token in output.token_ids]
    assert output.logits is not None  # noqa: S101 - one of the two
    return [int(token) for token in output.logits.argmax(-1)]


def _timed_prefill(runner: Runner, bucket: int) -> dict[str, Any]:
    chunk = PromptChunk(0, 0, [3] * bucket, last=True)
    return {"graph": "prefill", "bucket": bucket, "seconds": _median(lambda: runner.run([], [chunk]))}


def _timed_decode(runner: Runner, bucket: int) -> dict[str, Any]:
    """All slots; one of them at the bucket's last position."""
    decodes = [Decode(slot, 3, bucket - 1 if slot == 0 else 0) for slot in range(runner.spec.slots)]
    return {"graph": "decode", "bucket": bucket, "seconds": _median(lambda: runner.run(decodes, []))}


def _median(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_ROUNDS):
        began_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began_s)
    return statistics.median(seconds)


def main(argv: Sequence[str]) -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m serving.neuron_smoke", description=(__doc__ or "").split("\n")[0])
    setting_flags.add(parser, setting_flags.NEURON)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how facts are printed")
    args = parser.parse_args(argv)
    try:
        report = smoke(setting_flags.settings(args, setting_flags.NEURON, runner__kind="neuron"))
    except (ChatbotError, RunnerError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write((json.dumps(report, indent=2) if args.output == "json" else _text(report)) + "\n")
    return int(bool(report["differences"]))


def _text(report: dict[str, Any]) -> str:
    lines = [report["fingerprint"], *(f"{stage}: {s:.1f} s" for stage, s in report["startup_s"].items())]
    lines += [f"{t['graph']} {t['bucket']}: {t['seconds'] * 1e3:.1f} ms" for t in report["times"]]
    lines += report["differences"] or ["answers in company are those alone: the contract holds"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
