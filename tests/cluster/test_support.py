"""A broken pair is told before a node is paid for."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from cluster import support
from cluster.support import Combination, driver_of_ami, problems, runs_with

SERVED = Combination(
    sdk="2.25.0",
    ami="al2023@v20260618",
    python="3.10",
    head_python="3.10",
    ray="2.60.0",
    head_ray="2.60.0",
    kuberay="1.6.1",
)


def _errors(combination: Combination) -> list[str]:
    return [problem.pair for problem in problems(combination) if problem.severity == "error"]


def test_what_is_served_has_no_error_and_one_warning_that_support_ended() -> None:
    found = problems(SERVED)
    assert [(p.severity, p.pair) for p in found] == [("warning", "library × date")]
    assert "since 2025-09-16" in found[0].message


@pytest.mark.parametrize(
    ("driver", "runtime", "runs"),
    [("2.28.4", "2.27.23", True), ("2.29.0", "2.27.23", False), ("2.30.2", "2.33", True), ("2.29", "2.32.9", False)],
)
def test_a_driver_from_2_29_on_refuses_runtimes_before_2_33(driver: str, runtime: str, runs: bool) -> None:
    assert runs_with(driver, runtime) is runs


@pytest.mark.parametrize(
    ("changes", "pair"),
    [
        ({"ami": "al2023@v20260801"}, "driver × runtime"),
        ({"ami": "al2023@latest"}, "driver × runtime"),
        ({"ami": None, "driver": "2.30.2"}, "driver × runtime"),
        ({"sdk": "2.26.1"}, "sdk × library"),
        ({"python": "3.12", "head_python": "3.12"}, "sdk × python"),
        ({"python": "3.9", "head_python": "3.9"}, "ray × python"),
        ({"head_python": "3.11"}, "head × workers"),
        ({"head_ray": "2.59.0"}, "head × workers"),
    ],
)
def test_each_broken_pair_is_an_error_by_name(changes: dict[str, str | None], pair: str) -> None:
    assert _errors(replace(SERVED, **changes)) == [pair]  # type: ignore[arg-type]


def test_an_ami_has_at_least_the_driver_that_was_newest_when_it_was_built() -> None:
    assert driver_of_ami("al2023@v20250801") == "2.23.9"
    assert driver_of_ami("2026-07-07") == "2.29.0"
    assert driver_of_ami("al2023@latest") is None


def test_what_is_not_known_is_not_judged() -> None:
    assert problems(Combination()) == []
    assert problems(Combination(driver="2.30.2")) == []


def test_an_image_names_its_sdk() -> None:
    assert support.sdk_of_image("pytorch-inference-neuronx:2.7.0-neuronx-py310-sdk2.25.0-ubuntu22.04") == "2.25.0"
    assert support.sdk_of_image("python:3.10-slim") is None


def test_every_row_has_a_source_and_the_rows_are_in_order() -> None:
    table = support.data()
    rows = [*table["releases"], *table["events"], *table["driver_needs_runtime"], table["ray"], table["kuberay"]]
    assert {row["source"] for row in rows} <= set(table["sources"])
    versions = [support.version(row["sdk"]) for row in table["releases"]]
    assert versions == sorted(versions)
    dates = [date.fromisoformat(event["date"]) for event in table["events"]]
    assert dates == sorted(dates)
