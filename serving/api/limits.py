"""From what was asked to what the engine is asked: every field honoured, or refused by name with the reason."""

from __future__ import annotations

from serving.api.protocol import ChatCompletionRequest, CompletionRequest
from serving.engine.request import SamplingParams
from serving.engine.runner import RunnerSpec
from serving.errors import InvalidRequest, ModelNotFound, Unsupported

Asked = ChatCompletionRequest | CompletionRequest

# What sampling on the device leaves out, with the value that means "not wanted".
_NEEDS_LOGITS: dict[str, object] = {
    "seed": None,
    "logprobs": None,
    "top_logprobs": None,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "logit_bias": {},
    "min_p": 0.0,
    "min_tokens": 0,
}


def check_model(name: str, spec: RunnerSpec) -> None:
    """Raises ModelNotFound for any name but the served model's."""
    if name != spec.model_id:
        raise ModelNotFound(
            f"The model {name!r} does not exist here: use {spec.model_id!r}.", param="model", code="model_not_found"
        )


def check_supported(asked: Asked, spec: RunnerSpec) -> None:
    """Raises Unsupported for the first field that this runner cannot honour."""
    if not spec.samples_on_device:
        return
    for field, unwanted in _NEEDS_LOGITS.items():
        if _wanted(getattr(asked, field, unwanted), unwanted):
            raise Unsupported(
                f"{field} is not supported: this model picks its tokens on the device, which cannot do that.",
                param=field,
                code="unsupported_parameter",
            )


def _wanted(value: object, unwanted: object) -> bool:
    """A seed of 0 is wanted, and so is `logprobs: 0`, though both equal False."""
    return value is not None and value is not False and (unwanted is None or value != unwanted)


def check_choices(choices: int, *, capacity: int) -> None:
    """Raises InvalidRequest when so many answers could never be held at once, however long one waits."""
    if choices > capacity:
        raise InvalidRequest(
            f"{choices} answers were asked for at once, and this server holds {capacity}: lower n.", param="n"
        )


def check_prompt_ids(prompt_ids: list[int], spec: RunnerSpec) -> tuple[int, ...]:
    """Ids that a caller sent instead of text. Raises InvalidRequest for one that is no token."""
    for token_id in prompt_ids:
        if not 0 <= token_id < spec.vocabulary:
            raise InvalidRequest(
                f"prompt: {token_id} is no token id; they go from 0 to {spec.vocabulary - 1}.", param="prompt"
            )
    return tuple(prompt_ids)


def check_min_tokens(asked: Asked, budget: int) -> None:
    """Raises InvalidRequest when the shortest answer is longer than the longest."""
    if asked.min_tokens > budget:
        raise InvalidRequest(
            f"min_tokens is {asked.min_tokens}, but the answer may have at most {budget} tokens.", param="min_tokens"
        )


def sampling(asked: Asked, spec: RunnerSpec, *, defaults: SamplingParams, choice: int) -> SamplingParams:
    """How the tokens of one choice are picked; with a seed, each of n choices has its own, counted up from it.

    `defaults` fills what was not asked.
    """
    return SamplingParams(
        temperature=defaults.temperature if asked.temperature is None else asked.temperature,
        top_p=defaults.top_p if asked.top_p is None else asked.top_p,
        top_k=defaults.top_k if asked.top_k is None else max(asked.top_k, 0),
        min_p=defaults.min_p if asked.min_p is None else asked.min_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        logit_bias=_logit_bias(asked.logit_bias, spec),
        seed=None if asked.seed is None else asked.seed + choice,
        logprobs=asked.wanted_logprobs,
    )


def _logit_bias(asked: dict[str, float], spec: RunnerSpec) -> dict[int, float]:
    biases: dict[int, float] = {}
    for key, bias in asked.items():
        if not _is_token_id(key, spec):
            raise InvalidRequest(
                f"logit_bias: {key[:32]!r} is no token id; they go from 0 to {spec.vocabulary - 1}.", param="logit_bias"
            )
        biases[int(key)] = bias
    return biases


def _is_token_id(key: str, spec: RunnerSpec) -> bool:
    # The length comes first: int() refuses thousands of digits with an error of its own.
    return len(key) <= len(str(spec.vocabulary)) and key.isascii() and key.isdigit() and int(key) < spec.vocabulary
