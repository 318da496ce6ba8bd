"""Read a Llama-shaped GGUF file: exact weights under Hugging Face's names, and the config and tokenizer it carries.

llama.cpp stores the query and key rows of each head interleaved for its own rotary kernel; they are put back here.
The `gguf` package does the dequantisation, so every value is what llama.cpp itself would compute with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from serving.errors import SetupError
from serving.model.architecture import EMBEDDING, HEAD, LAST_NORM

_OUTER = {"token_embd.weight": EMBEDDING, "output.weight": HEAD, "output_norm.weight": LAST_NORM}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class GgufCheckpoint:
    """One GGUF file of architecture `llama`."""

    def __init__(self, path: Path) -> None:
        """Read the header; weights stay on disk. Raises SetupError when the file is damaged or of another kind."""
        try:
            self._reader = gguf.GGUFReader(path)
        except (OSError, ValueError, IndexError) as error:
            raise SetupError(f"{path} is not a GGUF file or is damaged ({error}): prepare the model again.") from error
        if (kind := self.field("general.architecture")) != "llama":
            raise SetupError(f"{path} holds a model of architecture {kind}; only llama is supported.")
        self._tensors = {_hugging_face_name(t.name): t for t in self._reader.tensors}
        self.shapes = {name: tuple(int(n) for n in reversed(t.shape)) for name, t in self._tensors.items()}
        self.config: Mapping[str, Any] = self._config()

    def field(self, key: str, default: Any = None) -> Any:
        """One entry of the metadata."""
        found = self._reader.get_field(key)
        return default if found is None else found.contents()

    def tensor(self, name: str) -> NDArray[np.float32]:
        """The exactly dequantised values."""
        stored = self._tensors[name]
        dequantised = gguf.dequantize(stored.data, stored.tensor_type)
        values: NDArray[np.float32] = np.asarray(dequantised, np.float32).reshape(self.shapes[name])
        if name.endswith("q_proj.weight"):
            return _rows_of_halves(values, int(self.config["num_attention_heads"]))
        if name.endswith("k_proj.weight"):
            return _rows_of_halves(values, int(self.config["num_key_value_heads"]))
        return values

    def _config(self) -> dict[str, Any]:
        """The metadata as a Hugging Face config.json."""
        heads = int(self.field("llama.attention.head_count"))
        hidden = int(self.field("llama.embedding_length"))
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": hidden,
            "intermediate_size": int(self.field("llama.feed_forward_length")),
            "num_hidden_layers": int(self.field("llama.block_count")),
            "num_attention_heads": heads,
            "num_key_value_heads": int(self.field("llama.attention.head_count_kv", heads)),
            "head_dim": int(self.field("llama.rope.dimension_count", hidden // heads)),
            "vocab_size": self.shapes[EMBEDDING][0],
            "max_position_embeddings": int(self.field("llama.context_length")),
            "rope_theta": float(self.field("llama.rope.freq_base", 10000.0)),
            "rms_norm_eps": _shortest(self.field("llama.attention.layer_norm_rms_epsilon")),
            "tie_word_embeddings": HEAD not in self.shapes,
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": self.field("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.field("tokenizer.ggml.eos_token_id"),
        }


def _hugging_face_name(name: str) -> str:
    if name in _OUTER:
        return _OUTER[name]
    block, _, rest = name.removeprefix("blk.").partition(".")
    part = _INNER.get(rest.removesuffix(".weight"))
    return f"model.layers.{block}.{part}.weight" if part else name  # an unknown name is refused by the shape's check


def _rows_of_halves(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """[rows, columns]: each head's rows from pairs (0, half, 1, half + 1, ...) back to (0, 1, ..., half, half + 1, ...)."""
    rows, columns = weight.shape
    halves: NDArray[np.float32] = weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2)
    return halves.reshape(rows, columns)


def _shortest(value: float) -> float:
    """1e-05 rather than the float32 that stands for it, so that every reader rounds the same decimal."""
    return float(str(np.float32(value)))
