"""A broken pair is told before a node is paid for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

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
        ({"kuberay": "1.7.0"}, "kuberay"),
        ({"sdk": "2.30.0", "library": False, "ami": "al2023@latest", "python": None}, "driver × runtime"),
    ],
)
def test_each_broken_pair_is_an_error_by_name(changes: dict[str, Any], pair: str) -> None:
    assert _errors(replace(SERVED, **changes)) == [pair]


def test_another_patch_of_the_operator_is_a_warning() -> None:
    found = problems(replace(SERVED, kuberay="1.6.2"))
    assert ("warning", "kuberay") in [(problem.severity, problem.pair) for problem in found]
    assert support.errors(replace(SERVED, kuberay="1.6.2")) == []


def test_the_served_sdk_is_the_one_that_the_workers_image_is_built_on() -> None:
    versions = json.loads((Path(__file__).parents[2] / "serving/images/neuron-versions.json").read_text())
    row = support.release(support.served_sdk())
    assert row is not None
    assert versions == {
        "sdk": row["sdk"],
        "image": f"public.ecr.aws/neuron/pytorch-inference-neuronx:{row['image']}",
        "python": support.data()["served"]["python"],
        "transformers-neuronx": row["transformers_neuronx"],
        "neuronx-cc": row["neuronx_cc"],
        "torch-neuronx": row["torch_neuronx"],
        "runtime": row["runtime"],
    }


def test_an_ami_has_at_least_the_driver_that_was_newest_when_it_was_built() -> None:
    assert driver_of_ami("al2023@v20250801") == "2.23.9"
    assert driver_of_ami("al2023@v20260618") == "2.28.0"
    assert driver_of_ami("2026-07-07") == "2.29.0"
    assert driver_of_ami("al2023@v20261399") is None
    assert driver_of_ami("al2023@latest") is None
    assert driver_of_ami("ami-02026010112345678") is None  # digits of an id are no date


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
