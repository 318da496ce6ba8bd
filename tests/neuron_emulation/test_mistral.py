"""The unmodified library on the emulation, behind our runner and scheduler, token for token against Hugging Face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from serving.engine.request import GenerationRequest
from serving.engine.runner import RunnerSpec
from serving.engine.runners.neuron import library
from serving.engine.runners.neuron.plan import ModelShape, NeuronPlan, Sampling
from serving.engine.runners.neuron.runner import NeuronRunner
from tests.neuron_emulation.watch import Watch
from tests.support import checkpoints
from tests.support.continuous_batching import together, traffic

if TYPE_CHECKING:
    from tests.neuron_emulation.emulator.device import Device

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

REQUESTS = 360  # some are cancelled while they wait; at least ANSWERED get tokens
ANSWERED = 300
SLOTS, DECODE_BUCKETS, PREFILL_BUCKETS = 4, (16, 32, 64), (8, 16, 48)
CONFIG: dict[str, Any] = checkpoints.CONFIG | {"rope_theta": 1_000_000.0}


@dataclass(frozen=True)
class Configuration:
    """What differs between the graphs."""

    sampling: Sampling
    layout: str
    fuse_qkv: bool

    def __str__(self) -> str:
        return f"{self.sampling.value}-{self.layout}{'-fused' if self.fuse_qkv else ''}"


CONFIGURATIONS = [
    Configuration(sampling, layout, fuse_qkv)
    for sampling in (Sampling.HOST, Sampling.DEVICE)
    for layout, fuse_qkv in (("HSB", False), ("HSB", True), ("BSH", False), ("BSH", True))
]


@pytest.fixture(scope="module", params=CONFIGURATIONS, ids=str)
def plan(request: pytest.FixtureRequest) -> NeuronPlan:
    chosen: Configuration = request.param
    return NeuronPlan(
        SLOTS,
        DECODE_BUCKETS,
        PREFILL_BUCKETS,
        chosen.sampling,
        global_top_k=16,
        amp="f32",
        attention_layout=chosen.layout,
        fuse_qkv=chosen.fuse_qkv,
    )


@pytest.fixture(scope="module")
def watch(plan: NeuronPlan, checkpoint: Path, device: Device) -> Watch:
    shape = ModelShape.from_config(CONFIG)
    return Watch(library.load_model(checkpoint, plan, shape, graphs=None, stage=nullcontext))


@pytest.fixture(scope="module")
def reference(checkpoint: Path, device: Device) -> Iterator[Any]:
    import torch
    from transformers import MistralForCausalLM

    with torch.inference_mode():
        yield MistralForCausalLM.from_pretrained(checkpoint, torch_dtype=torch.float32).eval()


def test_every_request_in_company_gets_hugging_faces_greedy_tokens(
    plan: NeuronPlan, watch: Watch, reference: Any, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = _requests(plan)
    runner = NeuronRunner(watch, plan, _spec(plan))
    crowd = together(runner, requests, budget_tokens=16, cancelling=0.05, seed=11)
    answered = [(request, out) for request, out in zip(requests, crowd.outputs, strict=True) if out]
    exact = sum(_is_greedy(reference, request, out) for request, out in answered)
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this run is for
            f"\n{plan.sampling.value} {plan.attention_layout} fused={plan.fuse_qkv}: {exact}/{len(answered)} exact of {len(requests)} asked, "
            f"{sum(map(len, crowd.outputs))} tokens, {crowd.cancelled} cancelled, {crowd.cancelled_in_slots} of them in slots, {watch.figures()}, "
            f"device runs overlapping: {device.overlapping_runs}"
        )
    assert exact == len(answered) >= ANSWERED
    assert crowd.busiest == SLOTS
    assert crowd.cancelled > crowd.cancelled_in_slots > 9
    assert min(len(request.prompt_ids) for request in requests) == 1
    assert (watch.overlapping, watch.live_left_out, device.overlapping_runs) == (0, 0, 0)


def _requests(plan: NeuronPlan) -> list[GenerationRequest]:
    """Every prompt length next to a bucket's edge at least once, and every slot reused many times."""
    buckets = (*plan.prefill_buckets, *plan.decode_buckets)
    edges = sorted({bucket + d for bucket in buckets for d in (-1, 0, 1)} | {1, 2})
    edges = [edge for edge in edges if edge <= plan.longest_prompt]
    vocabulary = int(CONFIG["vocab_size"])
    return traffic(REQUESTS, edges, longest=plan.positions, vocabulary=vocabulary, seed=11)


def _is_greedy(reference: Any, request: GenerationRequest, output: Sequence[int]) -> bool:
    """Whether each token is the reference's first choice after everything before it."""
    import torch

    ids = [*request.prompt_ids, *output[:-1]]
    logits = reference(torch.tensor([ids])).logits[0, len(request.prompt_ids) - 1 :]
    return bool(np.array_equal(logits.argmax(-1).numpy(), np.asarray(output)))


def _spec(plan: NeuronPlan) -> RunnerSpec:
    return RunnerSpec(
        model_id="tiny-mistral",
        fingerprint="emulation",
        slots=plan.slots,
        positions=plan.positions,
        longest_prompt=plan.longest_prompt,
        vocabulary=int(CONFIG["vocab_size"]),
        eos_token_ids=frozenset({2}),
        splits_prompts=False,
        samples_on_device=plan.sampling is Sampling.DEVICE,
        reproducible=False,
        weight_bits=32,
        kv_bits=32,
        kv_bytes=0,
    )
