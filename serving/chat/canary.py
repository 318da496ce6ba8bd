"""What has to hold before the first caller is let in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tokenizers import Tokenizer

from serving.chat.answer import Generation
from serving.chat.prompt import PromptEncoder
from serving.chat.stream import Detokenizer
from serving.chat.vocabulary import Vocabulary
from serving.engine.request import FinishReason, GenerationRequest, SamplingParams
from serving.errors import GenerationFailed, InvalidRequest, SetupError

_SAMPLE = "Hello, wörld! 日本 🙂\n  x = [1, 2]"


class Submits(Protocol):
    """What is needed of the engine."""

    def submit(self, requests: Sequence[GenerationRequest]) -> Sequence[Generation]:
        """Accept all or none."""


def check_decoding(tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
    """Raises SetupError when our table of bytes writes another text than the tokenizer's own decoder."""
    ids = tokenizer.encode(_SAMPLE, add_special_tokens=False).ids
    stream = Detokenizer(vocabulary)
    ours = "".join(map(stream.push, ids)) + stream.finish()
    theirs = tokenizer.decode(ids)
    if ours != theirs:
        raise SetupError(f"The tokenizer decodes {theirs!r}, streaming gives {ours!r}: its decoder is not supported.")


async def run_canary(engine: Submits, encoder: PromptEncoder) -> None:
    """One prefill and one decode of a short prompt. Raises GenerationFailed unless two tokens come out."""
    try:
        prompt = encoder.chat([{"role": "user", "content": "Hello"}])
    except InvalidRequest:  # no template, or one that wants more than a user's turn
        prompt = encoder.text("Hello")
    request = GenerationRequest(
        "canary", prompt, max_tokens=2, sampling=SamplingParams(temperature=0.0), ignore_eos=True
    )
    (generation,) = engine.submit([request])
    tokens = 0
    async for update in generation:
        tokens += len(update.tokens)
        if update.finished is not None and update.finished.reason is not FinishReason.LENGTH:
            raise GenerationFailed(f"The canary ended as {update.finished.reason.value}: {update.finished.error}")
    if tokens != request.max_tokens:
        raise GenerationFailed(f"The canary gave {tokens} tokens instead of {request.max_tokens}.")
