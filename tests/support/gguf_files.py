"""Tiny GGUF files in llama.cpp's layout, written with the `gguf` package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support import checkpoints, tokenizers

_NAMES = {
    "model.embed_tokens": "token_embd",
    "lm_head": "output",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write(path: Path, *, kind: str = "F32", metadata: dict[str, Any] | None = None) -> checkpoints.Tensors:
    """A two-layer model with its tokenizer; returns the tensors before `kind` rounded the matrices."""
    import gguf

    config = {**checkpoints.CONFIG, "intermediate_size": 128}
    tensors = checkpoints.random_tensors(config)
    metadata = metadata or {}
    writer = gguf.GGUFWriter(path, metadata.get("general.architecture", "llama"))
    _add_config(writer, config)
    _add_tokenizer(writer, metadata.get("tokenizer.ggml.pre", "smollm"))
    for name, values in tensors.items():
        heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
        stored = _interleaved(values, config[heads]) if heads else values
        quantisation = gguf.GGMLQuantizationType[kind if values.ndim == 2 else "F32"]
        writer.add_tensor(_llama_cpp_name(name), gguf.quantize(stored, quantisation), raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def _add_config(writer: Any, config: dict[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _add_tokenizer(writer: Any, pre: str) -> None:
    made = tokenizers.byte_level()
    by_id = sorted(made.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    names = [name for name, _ in by_id] + [f"<unused{i}>" for i in range(checkpoints.CONFIG["vocab_size"] - len(by_id))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(names)
    writer.add_token_types([3 if name.startswith("<|") else 1 for name in names])
    writer.add_token_merges(["Ġ t", "h e", "Ġt he", "ð Ł"])
    writer.add_bos_token_id(tokenizers.token(made, "<|im_start|>"))
    writer.add_eos_token_id(tokenizers.token(made, "<|im_end|>"))
    writer.add_chat_template(tokenizers.TEMPLATE)


def _llama_cpp_name(name: str) -> str:
    stem = name.removesuffix(".weight")
    if stem in _NAMES:
        return f"{_NAMES[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.weight"


def _interleaved(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head as llama.cpp's converter writes them: first half and second half take turns."""
    rows = weight.shape[0] // heads
    order = [head * rows + i + half * rows // 2 for head in range(heads) for i in range(rows // 2) for half in (0, 1)]
    return weight[order]
