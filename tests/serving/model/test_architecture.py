from __future__ import annotations

from typing import Any

import pytest

from serving.errors import SetupError
from serving.model.architecture import DecoderShape
from tests.support.checkpoints import CONFIG


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"architectures": ["Qwen2ForCausalLM"]}, "Qwen2ForCausalLM"),
        ({"architectures": None}, "architecture is None"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope scaling 'llama3'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope scaling 'linear'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope scaling 'yarn'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SetupError, match=named):
        DecoderShape.from_config({**CONFIG, **change})


@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "vocab_size", "rms_norm_eps"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(SetupError, match=key):
        DecoderShape.from_config({k: v for k, v in CONFIG.items() if k != key})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_attention_heads": "x"}, "num_attention_heads must be a positive whole number, not 'x'"),
        ({"num_attention_heads": 0}, "num_attention_heads must be a positive whole number, not 0"),
        ({"hidden_size": [64]}, "hidden_size"),
        ({"hidden_size": 64.5}, "hidden_size"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "4 attention heads cannot share 3 key and value heads"),
        ({"rms_norm_eps": "tiny"}, "rms_norm_eps must be a positive number, not 'tiny'"),
        ({"rope_theta": -1}, "rope_theta"),
        ({"rope_parameters": "default"}, "rope_parameters must be an object"),
        ({"rope_scaling": [1]}, "rope_scaling must be an object"),
        ({"partial_rotary_factor": "x"}, "partial_rotary_factor"),
        ({"architectures": 5}, "architecture is 5"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SetupError, match=named):
        DecoderShape.from_config({**CONFIG, **change})


def test_defaults_are_hugging_faces() -> None:
    config = {k: v for k, v in CONFIG.items() if k not in ("num_key_value_heads", "rope_theta", "tie_word_embeddings")}
    shape = DecoderShape.from_config({**config, "rope_scaling": {"rope_type": "default"}})
    assert (shape.kv_heads, shape.head_dim, shape.rope_theta, shape.tied) == (4, 16, 10000.0, False)


def test_a_checkpoint_must_hold_exactly_the_weights_of_its_config() -> None:
    shape = DecoderShape.from_config(CONFIG)
    right = shape.tensors()
    shape.check({**right, "model.layers.0.self_attn.rotary_emb.inv_freq": (8,)})
    missing = {name: size for name, size in right.items() if name != "lm_head.weight"}
    with pytest.raises(SetupError, match="lacks the tensor lm_head"):
        shape.check(missing)
    with pytest.raises(SetupError, match=r"q_proj.weight has shape \(1, 2\)"):
        shape.check({**right, "model.layers.1.self_attn.q_proj.weight": (1, 2)})
    with pytest.raises(SetupError, match=r"q_proj.bias"):
        shape.check({**right, "model.layers.1.self_attn.q_proj.bias": (64,)})


def test_a_tied_model_may_store_its_head_a_second_time() -> None:
    untied = DecoderShape.from_config(CONFIG).tensors()
    DecoderShape.from_config({**CONFIG, "tie_word_embeddings": True}).check(untied)
