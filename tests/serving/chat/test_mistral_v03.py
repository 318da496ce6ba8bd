"""Against Mistral's own encoder and the vocabulary of v0.3, token for token.

mistral-common carries both (Apache-2.0), and the model that we serve was trained on what it writes. It pins old packages, so
it is in no lock: by hand, `pip install mistral-common==1.5.6 'transformers==4.48.*' sentencepiece protobuf`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from serving.chat.prompt import PromptEncoder
from serving.chat.stream import Detokenizer
from serving.chat.template import ChatTemplate
from serving.chat.vocabulary import read_vocabulary
from tests.support import mistral

ABSENT = [name for name in ("mistral_common", "transformers", "sentencepiece") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"needs {', '.join(ABSENT)}, by hand: its docstring says how")

Messages = list[dict[str, str]]
TEXTS = ["Hi", "Hello, how are you?", "é 漢字 🙂", "  two spaces, and\n\ta tab", "x" * 300]


def _turns(*texts: str, system: str | None = None) -> Messages:
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *turns] if system else turns


CONVERSATIONS = [
    *(_turns(text) for text in TEXTS),
    _turns("Hi", "I'm fine.", "And now?"),
    _turns("Hi", "a\n\nb", "c", "d", "é 漢字 🙂"),
    _turns("Hi", system="Be brief."),
    _turns("Hi", "hey", "Tell me\nmore", system="You are a pirate. 🏴‍☠️"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """tokenizer.json as Hugging Face makes it of the SentencePiece model."""
    import mistral_common
    from transformers import LlamaTokenizer
    from transformers.convert_slow_tokenizer import convert_slow_tokenizer

    file = next((Path(mistral_common.__file__).parent / "data").glob("*.model.v3"))
    converted: Tokenizer = convert_slow_tokenizer(LlamaTokenizer(vocab_file=str(file), legacy=False))
    return converted


def _mistrals_own(messages: Messages) -> Sequence[int]:
    from mistral_common.protocol.instruct import messages as kinds
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    kind: dict[str, Any] = {
        "system": kinds.SystemMessage,
        "user": kinds.UserMessage,
        "assistant": kinds.AssistantMessage,
    }
    asked: Any = ChatCompletionRequest(messages=[kind[m["role"]](content=m["content"]) for m in messages])
    ids: Sequence[int] = MistralTokenizer.v3().encode_chat_completion(asked).tokens
    return ids


@pytest.mark.parametrize("messages", CONVERSATIONS, ids=range(len(CONVERSATIONS)))
def test_a_conversation_becomes_the_ids_that_mistrals_own_encoder_gives(
    messages: Messages, tokenizer: Tokenizer
) -> None:
    template = ChatTemplate(mistral.TEMPLATE, bos_token="<s>", eos_token="</s>")
    assert list(PromptEncoder(tokenizer, template, bos_token="<s>").chat(messages)) == list(_mistrals_own(messages))


@pytest.mark.parametrize("text", TEXTS)
def test_ids_of_the_vocabulary_stream_as_the_tokenizer_decodes_them(text: str, tokenizer: Tokenizer) -> None:
    stream = Detokenizer(read_vocabulary(tokenizer))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert "".join([*map(stream.push, ids), stream.finish()]) == tokenizer.decode(ids)
