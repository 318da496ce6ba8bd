from __future__ import annotations

import pytest

from cluster.lint.engine import lint
from tests.support.lint_cases import CASES, service
from tests.support.lint_stack import build


@pytest.mark.parametrize("rule", ["downscale-below-cold-start", "initializing-timeout-short"])
def test_a_measured_cold_start_takes_the_place_of_the_usual_one(rule: str) -> None:
    def found(*, measured_s: str) -> list[str]:
        changes = [*CASES[rule], service("metadata.annotations.chatbot\\.cluster/cold-start-seconds", measured_s)]
        return [finding.message for finding in lint(build(changes)).findings if finding.rule == rule]

    assert found(measured_s="60") == []
    assert "< 900 s" in found(measured_s="900")[0]
    assert "< 600 s" in found(measured_s="ten minutes")[0]
