"""Make Hugging Face tokenizer files from the vocabulary that a GGUF file carries.

Built by hand with `tokenizers`: readers that guess the pre-tokenizer from the model's family get this one wrong (they
miss that digits stand alone). Checked against llama.cpp's own tokenizer.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from serving.errors import SetupError
from serving.model.gguf_checkpoint import GgufCheckpoint

_CONTROL = 3  # GGUF's token_type of tokens that are never text


def tokenizer(checkpoint: GgufCheckpoint) -> Tokenizer:
    """Byte-level BPE as the file describes it. Raises SetupError for a kind of tokenizer that is not covered."""
    kind, pre = checkpoint.field("tokenizer.ggml.model"), checkpoint.field("tokenizer.ggml.pre")
    if (kind, pre) != ("gpt2", "smollm"):
        raise SetupError(f"The GGUF file's tokenizer is {kind}/{pre}; only gpt2/smollm is supported.")
    tokens: list[str] = checkpoint.field("tokenizer.ggml.tokens")
    types: list[int] = checkpoint.field("tokenizer.ggml.token_type")
    merges: list[str] = checkpoint.field("tokenizer.ggml.merges")
    pairs = [(left, right) for left, right in (merge.split(" ", 1) for merge in merges)]
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return made


def tokenizer_config(checkpoint: GgufCheckpoint) -> dict[str, Any]:
    """The special tokens' names and the chat template."""
    tokens: list[str] = checkpoint.field("tokenizer.ggml.tokens")
    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    ids = {name: checkpoint.field(f"tokenizer.ggml.{key}_token_id") for name, key in names.items()}
    return {
        **{name: tokens[i] for name, i in ids.items() if i is not None},
        "add_bos_token": bool(checkpoint.field("tokenizer.ggml.add_bos_token", False)),
        "chat_template": checkpoint.field("tokenizer.chat_template", ""),
        "model_max_length": int(checkpoint.config["max_position_embeddings"]),
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
