"""What does not go together is said before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from serving.engine.runners.neuron.memory import GIB, check_fits, estimate, kv_bytes_per_token
from serving.engine.runners.neuron.plan import ROPE_THETA_IF_ABSENT, ModelShape, NeuronPlan, PlanError, Sampling

# Mistral-7B-Instruct-v0.3's config.json, as far as it matters here.
V03: dict[str, Any] = {
    "architectures": ["MistralForCausalLM"],
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32768,
    "rope_theta": 1000000.0,
    "sliding_window": None,
}
V02 = V03 | {"vocab_size": 32000}
V01 = V03 | {"vocab_size": 32000, "rope_theta": 10000.0, "sliding_window": 4096}
PLAN = NeuronPlan(16, (512, 1024, 2048), (128, 512, 1024, 2048), Sampling.DEVICE)


def _check(plan: NeuronPlan = PLAN, config: dict[str, Any] = V03) -> None:
    plan.check(ModelShape.from_config(config), config)


def test_the_suggested_plan_goes_with_mistral_v03() -> None:
    _check()
    assert (PLAN.positions, PLAN.longest_prompt) == (2048, 2048)


def test_p7_v01_is_refused_for_its_window_and_v02_is_not() -> None:
    _check(config=V02)
    with pytest.raises(PlanError, match=r"sliding window of 4096 tokens, as Mistral v0.1.*Mistral-7B-Instruct-v0.3"):
        _check(config=V01)


def test_p8_an_absent_window_is_hugging_faces_default_and_not_none() -> None:
    config = {key: value for key, value in V03.items() if key != "sliding_window"}
    with pytest.raises(PlanError, match='takes for 4096: add "sliding_window": null'):
        _check(config=config)


def test_p9_a_checkpoint_without_rope_theta_is_refused_instead_of_served_as_garbage() -> None:
    config = {key: value for key, value in V03.items() if key != "rope_theta"}
    with pytest.raises(PlanError, match="names no rope_theta, and the library would take 10000"):
        ModelShape.from_config(config)
    assert ModelShape.from_config(config | {"rope_parameters": {"rope_theta": 1e6}}).rope_theta == 1e6


@pytest.mark.skipif(
    find_spec("transformers") is None, reason="transformers 4.48 is in requirements/dev-neuron.txt only"
)
def test_the_images_transformers_takes_for_absent_keys_what_the_refusals_say() -> None:
    from transformers import MistralConfig

    read, bare = MistralConfig.from_dict(V03), MistralConfig.from_dict({})
    assert (read.rope_theta, read.sliding_window) == (ModelShape.from_config(V03).rope_theta, None)
    assert (bare.rope_theta, bare.sliding_window) == (ROPE_THETA_IF_ABSENT, 4096)


def test_p23_a_head_size_that_the_library_cannot_know_is_refused() -> None:
    with pytest.raises(PlanError, match="head_dim 256 is not hidden_size / heads = 128"):
        ModelShape.from_config(V03 | {"head_dim": 256})


def test_another_architecture_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="serves MistralForCausalLM, the checkpoint is a LlamaForCausalLM"):
        ModelShape.from_config(V03 | {"architectures": ["LlamaForCausalLM"]})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"decode_buckets": (1024, 512)}, r"decode_buckets must be ascending positive numbers, not \[1024, 512\]"),
        ({"prefill_buckets": ()}, "prefill_buckets must be ascending"),
        ({"prefill_buckets": (128, 4096)}, "largest prefill bucket 4096 exceeds the largest decode bucket 2048"),
        ({"global_top_k": 0}, "global_top_k 0 must lie in 1 to"),
        ({"global_top_k": 20000}, "global_top_k 20000 must lie in 1 to vocabulary / tp_degree = 16384"),
        ({"tp_degree": 3}, "tp_degree 3 does not divide the model's 32 heads"),
    ],
)
def test_a_plan_that_cannot_be_compiled_says_why(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        _check(replace(PLAN, **changes))


def test_the_arithmetic_is_the_references() -> None:
    shape = ModelShape.from_config(V02)
    assert shape.linear_parameters == 32 * 218_103_808
    assert shape.head_parameters == 131_072_000
    assert kv_bytes_per_token(shape, "bf16") == 131_072
    memory = estimate(replace(PLAN, slots=32), shape)
    assert memory.kv_bytes == 4 * GIB
    assert memory.weights_bytes / GIB == pytest.approx(6.62, abs=0.01)


def test_p21_a_plan_that_does_not_fit_a_core_is_refused_with_the_table_and_what_would_fit() -> None:
    shape = ModelShape.from_config(V03)
    plan = replace(PLAN, slots=64)
    with pytest.raises(PlanError) as refused:
        check_fits(plan, shape, estimate(plan, shape))
    text = str(refused.value)
    assert "64 slots × 2048 positions do not fit on a NeuronCore; at 2048 positions, 51 slots fit." in text
    for line in ("weights", "key-value cache", "reserve", "needed", "a core has"):
        assert line in text
    fitting = replace(plan, slots=51)
    check_fits(fitting, shape, estimate(fitting, shape))
