"""The shape of a Llama or Mistral decoder, read from a Hugging Face config; anything it does not cover is refused by name.

One shape covers both families: grouped-query attention with rotary positions, RMS norms, a gated SiLU feed-forward
network, no biases. Mistral adds a sliding window, which `ModelFolder.longest_context` turns into a limit.
"""

from __future__ import annotations

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
        """Raises SetupError that names the part of the architecture that is not covered, or the key that is missing."""
        _refuse_what_is_not_covered(config)
        try:
            heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
            return cls(
                layers=int(config["num_hidden_layers"]),
                hidden=hidden,
                intermediate=int(config["intermediate_size"]),
                heads=heads,
                kv_heads=int(config.get("num_key_value_heads") or heads),
                head_dim=int(config.get("head_dim") or hidden // heads),
                vocabulary=int(config["vocab_size"]),
                rope_theta=_rope_theta(config),
                norm_epsilon=float(config["rms_norm_eps"]),
                tied=bool(config.get("tie_word_embeddings", False)),
            )
        except KeyError as error:
            raise SetupError(f"config.json lacks {error}: a Hugging Face Llama or Mistral config has it.") from error

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
    architecture = next(iter(config.get("architectures") or ()), None)
    if architecture not in ARCHITECTURES:
        yield f"its architecture is {architecture}"
    if config.get("hidden_act", "silu") != "silu":
        yield f"its activation is {config['hidden_act']}"
    for key in ("attention_bias", "mlp_bias"):
        if config.get(key):
            yield f"it has biases ({key})"
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        yield f"it scales its rotary positions (rope scaling '{kind}')"
    if float(config.get("partial_rotary_factor") or rope.get("partial_rotary_factor") or 1) != 1:
        yield "it rotates only a part of each head (partial_rotary_factor)"
    if config.get("quantization_config"):
        yield "its checkpoint is quantised already (quantization_config)"


def _rope_theta(config: Mapping[str, Any]) -> float:
    """At the top level, or under rope_parameters since transformers 5; 10000 is Hugging Face's default."""
    return float((config.get("rope_parameters") or {}).get("rope_theta") or config.get("rope_theta") or 10000.0)
