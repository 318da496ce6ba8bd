"""Two runs side by side."""

from __future__ import annotations

from typing import Any

import pytest

from loadtest import compare
from loadtest.report import document as documents
from loadtest.run_result import Run
from tests.support import runs
from tests.support.load_profiles import profile, record


def build(run: Run, *, target: dict[str, str] = runs.TARGET) -> dict[str, Any]:
    return documents.build(run, verify=run.watched is not None, target=target, versions=runs.VERSIONS)


def rows(comparison: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in comparison["figures"]}


BASE = build(runs.run())
SLOWER = build(runs.run(tuple(record(i, at_s=i / 2, ttft_s=0.2) for i in range(20))))


def test_every_figure_has_its_ratio_and_a_judgement() -> None:
    found = rows(compare.build(BASE, SLOWER))
    assert found["ttft_s p50"]["ratio"] == pytest.approx(2.0, rel=1e-3)
    assert found["ttft_s p50"]["judgement"] == "worse"
    assert rows(compare.build(SLOWER, BASE))["ttft_s p50"]["judgement"] == "better"
    assert found["itl_s p50"]["judgement"] == ""


def test_what_one_of_them_lacks_has_no_ratio() -> None:
    found = rows(compare.build(BASE, build(runs.verified())))
    assert found["replica-running at_s"]["a"] is None
    assert found["replica-running at_s"]["ratio"] is None


def test_runs_that_cannot_be_compared_are_cautioned_about() -> None:
    assert compare.build(BASE, SLOWER)["cautions"] == []
    void = build(runs.run(interrupted_s=1.0, profile=profile(seed=99)))
    said = compare.build(BASE, void)["cautions"]
    assert any("the profiles differ" in caution for caution in said)
    assert any("B is void" in caution for caution in said)


def test_the_terminal_shows_both_and_the_ratios() -> None:
    text = "\n".join(compare.lines(compare.build(BASE, SLOWER)))
    assert "ttft_s p50" in text
    assert "2.00×  worse" in text


def test_runs_of_another_model_runner_or_target_are_cautioned_about() -> None:
    other = build(
        runs.run(tuple(record(i, at_s=i / 2, fingerprint="simulated-x") for i in range(20)), model="another"),
        target=runs.TARGET | {"name": "eks", "base_url": "https://chat.example", "class": "remote"},
    )
    assert compare.build(BASE, other)["cautions"] == [
        "the models differ: golden and another",
        "the runners differ: (did not say) and simulated-x",
        "the targets differ: local at http://127.0.0.1:8000 and eks at https://chat.example",
    ]
