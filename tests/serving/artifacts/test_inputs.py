"""Whatever would make a start compile is named before it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from serving.artifacts import inputs
from serving.engine.runners.neuron.plan import NeuronPlan, Sampling

PLAN = NeuronPlan(16, (512, 1024, 2048), (128, 2048), Sampling.DEVICE)
VERSIONS = {"transformers-neuronx": "0.13.1216", "neuronx-cc": "2.20.9961.0", "torch-neuronx": "2.7.0.2.9.9357"}
CONFIG: dict[str, Any] = {"hidden_size": 4096, "rope_theta": 1e6, "transformers_version": "4.42.0"}


def _inputs(
    plan: NeuronPlan = PLAN,
    *,
    versions: dict[str, str] = VERSIONS,
    flags: str = "",
    revision: str = "abc",
    config: dict[str, Any] = CONFIG,
) -> dict[str, str]:
    return inputs.plan_inputs(plan, versions=versions, flags=flags, revision=revision) | inputs.model_input(config)


MADE = _inputs()
OTHER_PLANS: dict[str, Any] = {
    "slots": 8,
    "decode_buckets": (1024, 2048),
    "prefill_buckets": (256, 2048),
    "sampling": Sampling.HOST,
    "global_top_k": 128,
    "tp_degree": 1,
    "amp": "f16",
    "attention_layout": "HSB",
    "fuse_qkv": False,
}
OTHERS: dict[str, dict[str, str]] = {
    **{name: _inputs(replace(PLAN, **{name: value})) for name, value in OTHER_PLANS.items()},
    **{name: _inputs(versions=VERSIONS | {name: "9"}) for name in VERSIONS},
    "compiler_flags": _inputs(flags="-O1"),
    "model_revision": _inputs(revision="def"),
    "model_config": _inputs(config=CONFIG | {"rope_theta": 1e4}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_each_input_is_named_when_it_changes_and_no_other(name: str) -> None:
    found = inputs.changes(MADE, OTHERS[name])
    expected = {"sampling", "global_top_k"} if name == "sampling" else {name}  # on the host nothing looks at candidates
    assert {change.name for change in found} == expected
    change = next(c for c in found if c.name == name)
    assert str(change) == f"{name}: made with {MADE[name] or 'nothing'}, this start has {OTHERS[name][name]}"
    assert inputs.key(OTHERS[name]) != inputs.key(MADE)


def test_every_input_and_every_field_of_the_plan_is_covered_by_the_test_above() -> None:
    assert set(OTHERS) == set(MADE)
    assert {field.name for field in fields(NeuronPlan)} - {"compile_workers"} == set(OTHER_PLANS)


def test_what_is_no_part_of_a_graph_changes_nothing() -> None:
    same = _inputs(
        replace(PLAN, compile_workers=4),
        flags=" --cache_dir=/cache --retry_failed_compilation --no_cache",
        config=CONFIG | {"transformers_version": "4.48.3"},
    )
    assert same == MADE


def test_flags_count_without_their_spaces_and_the_caches_own() -> None:
    assert _inputs(flags="-O1   --cache_dir /cache")["compiler_flags"] == "-O1"


def test_inputs_that_only_one_side_knows_are_changes() -> None:
    older = {name: value for name, value in MADE.items() if name != "amp"} | {"pipeline": "1"}
    assert {change.name for change in inputs.changes(older, MADE)} == {"amp", "pipeline"}
