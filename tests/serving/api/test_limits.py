"""What a request leaves open is filled from the model's own recommendation, and nothing else is."""

from typing import Any

import pytest

from serving.api import limits
from serving.api.protocol import ChatCompletionRequest
from serving.engine.request import SamplingParams
from tests.support.contract_runner import SPEC

RECOMMENDED = SamplingParams(temperature=0.2, top_p=0.9, top_k=40, min_p=0.05)


def _sampling(**fields: Any) -> SamplingParams:
    asked = ChatCompletionRequest.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    )
    return limits.sampling(asked, SPEC, defaults=RECOMMENDED, choice=0)


@pytest.mark.parametrize("fields", [{}, {"temperature": None, "top_p": None, "top_k": None, "min_p": None}])
def test_what_is_left_open_is_the_models_recommendation(fields: dict[str, Any]) -> None:
    assert _sampling(**fields) == RECOMMENDED


def test_what_is_asked_wins_even_where_it_is_zero() -> None:
    asked = _sampling(temperature=0, top_p=1, top_k=-1, min_p=0)
    assert (asked.temperature, asked.top_p, asked.top_k, asked.min_p) == (0, 1, 0, 0)
