"""What may stand in a request: OpenAI's fields that we have, vLLM's names for the extensions, and nothing else.

An unknown field is an error and not ignored. A field that is null counts as absent, as OpenAI's clients mean it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from serving.errors import InvalidRequest

# Fields of OpenAI's API that a client may well send, and why they cannot be honoured here.
NOT_OFFERED = {
    "tools": "this server does not call tools",
    "tool_choice": "this server does not call tools",
    "tool_calls": "this server does not call tools",
    "parallel_tool_calls": "this server does not call tools",
    "functions": "this server does not call functions",
    "function_call": "this server does not call functions",
    "response_format": "this server does not constrain the form of an answer",
    "modalities": "this server answers in text only",
    "audio": "this server answers in text only",
    "best_of": "ask for n answers and choose",
    "echo": "the answer never repeats the prompt",
    "suffix": "this server does not fill in the middle",
    "name": "the chat template has no place for it",
}


def _whole_characters(text: str) -> str:
    """JSON can spell half a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must not hold half a surrogate pair") from error
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]

# A list stops at its first wrong item: a megabyte of wrong ones would stall every stream while errors are collected.
Texts = Annotated[list[Text], Field(fail_fast=True)]
TokenIds = Annotated[list[int], Field(fail_fast=True)]
MOST_BIASES = 1024
MOST_FIELDS = 64
MOST_PROMPTS = 128
LONGEST_STOP_CHARACTERS = 1024


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if len(data) > MOST_FIELDS:
            raise InvalidRequest(f"An object of the request has {len(data)} fields: no object here has so many.")
        return {name: value for name, value in data.items() if value is not None}


class TextPart(_Wire):
    """A piece of a message."""

    type: Literal["text"]
    text: Text


class Message(_Wire):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(fail_fast=True)]

    def as_template_input(self) -> dict[str, str]:
        """What chat templates know: `developer` is OpenAI's newer word for `system`; parts are lines."""
        text = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(_Wire):
    """How a stream is told."""

    include_usage: bool = False


class _Generating(_Wire):
    """What both endpoints take."""

    model: str
    max_tokens: int | None = Field(None, ge=1)
    # None: what the model's own generation_config.json recommends, else 1, 1, 0 and 0, as vLLM does it.
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)  # 0 or -1: the whole vocabulary
    min_p: float | None = Field(None, ge=0, le=1)
    min_tokens: int = Field(0, ge=0)
    ignore_eos: bool = False
    stop: Text | Texts = []
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    n: int = Field(1, ge=1, le=128)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = {}
    user: str | None = Field(None, max_length=256)
    stream: bool = False
    stream_options: StreamOptions | None = None  # None: no usage in the stream

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def usage_in_stream(self) -> bool:
        """A stream ends with an event that carries the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _not_for_every_token(cls, biases: Any) -> Any:
        if isinstance(biases, dict) and len(biases) > MOST_BIASES:
            raise ValueError(f"at most {MOST_BIASES} tokens may have a bias")
        return biases

    @field_validator("stop")
    @classmethod
    def _few_and_short(cls, stop: str | list[str]) -> str | list[str]:
        stops = [stop] if isinstance(stop, str) else stop
        if len(stops) > 4:
            raise ValueError("at most 4 stop strings are allowed")
        if "" in stops:
            raise ValueError("a stop string must not be empty")
        if max(map(len, stops), default=0) > LONGEST_STOP_CHARACTERS:
            raise ValueError(f"a stop string may have at most {LONGEST_STOP_CHARACTERS} characters")
        return stop

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> _Generating:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequest("stream_options is only allowed when stream is true.", param="stream_options")
        return self


class ChatCompletionRequest(_Generating):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def asked_tokens(self) -> tuple[int | None, str]:
        """The longest answer that was asked for (None: whatever is left), and the field that says so."""
        if self.max_completion_tokens is not None:
            return self.max_completion_tokens, "max_completion_tokens"
        return self.max_tokens, "max_tokens"

    @property
    def wanted_logprobs(self) -> int | None:
        """How many alternatives a token is listed with; None when log probabilities are not wanted."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @model_validator(mode="after")
    def _fields_agree(self) -> ChatCompletionRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequest("top_logprobs is only allowed when logprobs is true.", param="top_logprobs")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise InvalidRequest("Send max_tokens or max_completion_tokens, not both.", param="max_tokens")
        return self


class CompletionRequest(_Generating):
    """`POST /v1/completions`."""

    prompt: (
        Text
        | Annotated[Texts, Field(max_length=MOST_PROMPTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(fail_fast=True, max_length=MOST_PROMPTS)]
    )
    max_tokens: int | None = Field(16, ge=1)
    logprobs: int | None = Field(None, ge=0, le=5)

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or more, each a text or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if all(isinstance(item, int) for item in self.prompt):
            return [self.prompt]  # type: ignore[list-item]
        return list(self.prompt)  # type: ignore[arg-type]

    @property
    def asked_tokens(self) -> tuple[int | None, str]:
        """The longest answer that was asked for, and the field that says so."""
        return self.max_tokens, "max_tokens"

    @property
    def wanted_logprobs(self) -> int | None:
        """How many alternatives a token is listed with; None when log probabilities are not wanted."""
        return self.logprobs
