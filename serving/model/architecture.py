"""The shape of a Llama or Mistral decoder, read from a Hugging Face config; anything it does not cover is refused by name.

One shape covers both families: grouped-query attention with rotary positions, RMS norms, a gated SiLU feed-forward
network, no biases. Mistral adds a sliding window, which `ModelFolder.longest_context` turns into a limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import SetupError

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM")
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
LAST_NORM = "model.norm.weight"


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes of a decoder; the names are Hugging Face's, shortened."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    rope_theta: float
    norm_epsilon: float
    tied: bool  # the output head is the embedding table

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DecoderShape:
        """Raises SetupError that names the part of the architecture that is not covered, or the key that is missing or wrong."""
        _refuse_what_is_not_covered(config)
        hidden, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
        kv_heads = _size(config, "num_key_value_heads", default=heads)
        if heads % kv_heads:
            raise SetupError(
                f"config.json: {heads} attention heads cannot share {kv_heads} key and value heads evenly."
            )
        return cls(
            layers=_size(config, "num_hidden_layers"),
            hidden=hidden,
            intermediate=_size(config, "intermediate_size"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=_size(config, "head_dim", default=hidden // heads),
            vocabulary=_size(config, "vocab_size"),
            rope_theta=_rope_theta(config),
            norm_epsilon=_number(config, "rms_norm_eps"),
            tied=bool(config.get("tie_word_embeddings", False)),
        )

    def layer_tensors(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes [rows out, columns in] of one layer's weights."""
        at, queries, keys = f"model.layers.{layer}.", self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            f"{at}input_layernorm.weight": (self.hidden,),
            f"{at}self_attn.q_proj.weight": (queries, self.hidden),
            f"{at}self_attn.k_proj.weight": (keys, self.hidden),
            f"{at}self_attn.v_proj.weight": (keys, self.hidden),
            f"{at}self_attn.o_proj.weight": (self.hidden, queries),
            f"{at}post_attention_layernorm.weight": (self.hidden,),
            f"{at}mlp.gate_proj.weight": (self.intermediate, self.hidden),
            f"{at}mlp.up_proj.weight": (self.intermediate, self.hidden),
            f"{at}mlp.down_proj.weight": (self.hidden, self.intermediate),
        }

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of every weight, in the order in which a token meets them."""
        found: dict[str, tuple[int, ...]] = {EMBEDDING: (self.vocabulary, self.hidden)}
        for layer in range(self.layers):
            found |= self.layer_tensors(layer)
        found[LAST_NORM] = (self.hidden,)
        if not self.tied:
            found[HEAD] = (self.vocabulary, self.hidden)
        return found

    def check(self, found: Mapping[str, tuple[int, ...]]) -> None:
        """Raises SetupError unless the checkpoint holds exactly the weights of this shape."""
        expected = self.tensors()
        for name, shape in expected.items():
            if name not in found:
                raise SetupError(f"The checkpoint lacks the tensor {name}: fetch it again, or mend config.json.")
            if tuple(found[name]) != shape:
                raise SetupError(f"The tensor {name} has shape {tuple(found[name])}, config.json says {shape}.")
        ignored = {HEAD} if self.tied else set()
        for name in sorted(set(found) - set(expected) - ignored):
            if not name.endswith("rotary_emb.inv_freq"):  # old checkpoints store what rope_theta says
                raise SetupError(f"The checkpoint holds {name}, which a plain Llama or Mistral has not: not supported.")


def _refuse_what_is_not_covered(config: Mapping[str, Any]) -> None:
    for reason in _not_covered(config):
        raise SetupError(f"This model is not supported: {reason}. Supported are plain Llama and Mistral decoders.")


def _not_covered(config: Mapping[str, Any]) -> Iterator[str]:
    listed = config.get("architectures")
    architecture = listed[0] if isinstance(listed, list) and listed else listed
    if architecture not in ARCHITECTURES:
        yield f"its architecture is {architecture}"
    if config.get("hidden_act", "silu") != "silu":
        yield f"its activation is {config['hidden_act']}"
    for key in ("attention_bias", "mlp_bias"):
        if config.get(key):
            yield f"it has biases ({key})"
    rope = _object(config, "rope_parameters") or _object(config, "rope_scaling")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        yield f"it scales its rotary positions (rope scaling '{kind}')"
    if (config.get("partial_rotary_factor") or rope.get("partial_rotary_factor") or 1) != 1:
        yield "it rotates only a part of each head (partial_rotary_factor)"
    if config.get("quantization_config"):
        yield "its checkpoint is quantised already (quantization_config)"


def _rope_theta(config: Mapping[str, Any]) -> float:
    """At the top level, or under rope_parameters since transformers 5; 10000 is Hugging Face's default."""
    rope = _object(config, "rope_parameters")
    return _number(rope if rope.get("rope_theta") is not None else config, "rope_theta", default=10000.0)


def _size(config: Mapping[str, Any], key: str, *, default: int | None = None) -> int:
    """A count. Raises SetupError that names the key."""
    value = _present(config, key, default)
    if type(value) is not int or value < 1:
        raise SetupError(f"config.json: {key} must be a positive whole number, not {value!r}.")
    return value


def _number(config: Mapping[str, Any], key: str, *, default: float | None = None) -> float:
    """A positive number. Raises SetupError that names the key."""
    value = _present(config, key, default)
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise SetupError(f"config.json: {key} must be a positive number, not {value!r}.")
    return float(value)


def _object(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object, empty where there is none. Raises SetupError that names the key."""
    value = config.get(key) or {}
    if not isinstance(value, Mapping):
        raise SetupError(f"config.json: {key} must be an object, not {value!r}.")
    return value


def _present(config: Mapping[str, Any], key: str, default: float | None) -> Any:
    value = config.get(key)
    value = default if value is None else value
    if value is None:
        raise SetupError(f"config.json lacks {key}: a Hugging Face Llama or Mistral config has it.")
    return value
