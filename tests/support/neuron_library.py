"""A module for the setting `neuron.library`: the contract fake in place of the vendor's library.

Its "graphs" are files named after what went into them, as the library's are, so a plan that changed finds none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from serving.engine.runners.neuron.plan import ModelShape, NeuronPlan, PlanError
from serving.engine.runners.neuron.runner import Stage
from tests.support.neuron_model import ContractModel

VERSIONS = {"transformers-neuronx": "contract.fake", "neuronx-cc": "none", "torch-neuronx": "none"}


def versions() -> dict[str, str]:
    """They name the fake, in every answer's fingerprint too."""
    return dict(VERSIONS)


def load_model(
    checkpoint: Path, plan: NeuronPlan, shape: ModelShape, *, graphs: Path | None, stage: Stage
) -> ContractModel:
    """The fake; with `graphs`, each of them must be there."""
    with stage("weights"):
        model = ContractModel(plan, vocabulary=shape.vocabulary)
    with stage("graphs"):
        for name, content in _graphs(plan, shape):
            if graphs is not None and (graphs / name).read_bytes() != content:
                raise PlanError(f"{name} is not the graph that it is named after")
    return model


def compile_graphs(checkpoint: Path, plan: NeuronPlan, shape: ModelShape, *, into: Path, stage: Stage) -> None:
    """One file for each bucket."""
    with stage("compile"):
        for name, content in _graphs(plan, shape):
            (into / name).write_bytes(content)


def _graphs(plan: NeuronPlan, shape: ModelShape) -> Iterator[tuple[str, bytes]]:
    tags = [f"token-seqlen{n}-batch{plan.slots}" for n in plan.decode_buckets]
    tags += [f"context-seqlen{n}-batch1" for n in plan.prefill_buckets]
    for tag in tags:
        content = f"{tag} {shape} {plan.amp} {plan.attention_layout} {plan.fuse_qkv} {plan.sampling}".encode() * 64
        yield hashlib.sha256(content).hexdigest()[:20] + ".neff", content
