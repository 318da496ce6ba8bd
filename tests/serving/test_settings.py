from __future__ import annotations

from typing import Any

import pytest

from cluster.targets import Options
from cluster.targets.local.serve_config import application, load_serve_config
from serving.errors import SetupError
from serving.settings import load


@pytest.mark.parametrize(
    "args",
    [
        {"engine": {"longest_wait_s": 60}},
        {"engine": {"longest_wait_s": 10}},
        {"api": {"first_byte_wait_s": 9}},
    ],
    ids=["above", "equal", "the other one lowered"],
)
def test_who_waits_in_vain_must_be_told_before_the_status_line(args: dict[str, Any]) -> None:
    with pytest.raises(SetupError) as refused:
        load(args)
    said = str(refused.value)
    assert said.startswith("Wrong settings: engine.longest_wait_s (")
    assert "must be less than api.first_byte_wait_s" in said
    assert "Value error" not in said


def test_both_may_be_raised_together() -> None:
    settings = load({"engine": {"longest_wait_s": 60}, "api": {"first_byte_wait_s": 61}})
    assert settings.engine.longest_wait_s < settings.api.first_byte_wait_s


def test_a_wrong_field_begins_with_its_name() -> None:
    with pytest.raises(SetupError, match=r"^Wrong settings: engine: longest_wait_s must be less than longest_answer_s"):
        load({"engine": {"longest_answer_s": 5}})


def test_the_shipped_serve_config_is_taken() -> None:
    load(application(load_serve_config(Options(8000), {}))["args"])
