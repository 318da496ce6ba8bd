"""Messages or text -> prompt ids, by the model's own tokenizer and chat template, and how long the answer may get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from serving.chat.template import ChatTemplate
from serving.errors import InvalidRequest, PromptTooLong, SetupError


def load_tokenizer(tokenizer_json: Path) -> Tokenizer:
    """The tokenizer as it is, without the truncation and padding that training may have left in the file."""
    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_json))
    except Exception as error:
        raise SetupError(f"{tokenizer_json} is not a tokenizer ({error}): fetch the model again.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class PromptEncoder:
    """One model's way from text to ids."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None, *, bos_token: str | None) -> None:
        self._tokenizer = tokenizer
        self._template = template  # None: the model has none, and only completions can be asked
        self._bos_token = bos_token

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The prompt of a conversation. The template writes every special token, so the tokenizer adds none."""
        if self._template is None:
            raise InvalidRequest("This model has no chat template: use /v1/completions.", param="messages")
        text = self._template.render(messages)
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, text: str) -> tuple[int, ...]:
        """The prompt of a bare text, with the special tokens that the tokenizer adds, unless the text brings them."""
        brings_bos = self._bos_token is not None and text.startswith(self._bos_token)
        return tuple(self._tokenizer.encode(text, add_special_tokens=not brings_bos).ids)


def answer_budget(
    prompt_tokens: int, asked_tokens: int | None, *, positions: int, longest_prompt: int, param: str, asked_param: str
) -> int:
    """Tokens that the answer may have: what was asked, else all that is left of the slot.

    Like OpenAI and vLLM: more than fits is an error and not silently less. Raises PromptTooLong with both numbers,
    naming `param` where the prompt is too long and `asked_param` where the two together are.
    """
    if prompt_tokens == 0:
        raise InvalidRequest("The prompt is empty: send at least one token.", param=param)
    limit = min(longest_prompt, positions - 1)
    code = "context_length_exceeded"
    if prompt_tokens > limit:
        raise PromptTooLong(
            f"The prompt has {prompt_tokens} tokens, and this model takes at most {limit}: shorten it.",
            param=param,
            code=code,
        )
    left = positions - prompt_tokens
    if asked_tokens is not None and asked_tokens > left:
        raise PromptTooLong(
            f"The context holds {positions} positions, but {prompt_tokens + asked_tokens} were asked for "
            f"({prompt_tokens} in the prompt, {asked_tokens} in the answer): ask for at most {left} or shorten the prompt.",
            param=asked_param,
            code=code,
        )
    return left if asked_tokens is None else asked_tokens
