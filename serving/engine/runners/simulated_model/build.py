"""Make this folder's tokenizer.json again: a byte-level BPE, trained on prose.txt and on the repository's LICENSE.

Run from the root of a checkout: `python serving/engine/runners/simulated_model/build.py`. The result is committed, so
that a simulated server needs no download; this script says where it came from.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

FOLDER = Path(__file__).resolve().parent
LICENSE = FOLDER.parents[3] / "LICENSE"
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # ids 0, 1, 2: config.json names 0 and 2 as ends
VOCABULARY = 2048


def train() -> Tokenizer:
    """The tokenizer; the same inputs always give the same one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [path.read_text(encoding="utf-8") for path in (FOLDER / "prose.txt", LICENSE)]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


if __name__ == "__main__":
    train().save(str(FOLDER / "tokenizer.json"))
