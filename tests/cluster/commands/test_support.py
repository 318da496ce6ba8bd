"""`python -m cluster support`."""

from __future__ import annotations

import json

import pytest

from cluster.cli import main


def test_without_flags_it_prints_the_table_with_dates_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support"]) == 0
    text = capsys.readouterr().out
    for expected in ("0.13.1216", "2025-09-16", "driver ≥ 2.29", "sources:", "n2-manifest.json"):
        assert expected in text


def test_a_broken_pair_is_exit_code_1_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    image = "public.ecr.aws/neuron/pytorch-inference-neuronx:2.7.0-neuronx-py310-sdk2.25.0-ubuntu22.04"
    assert main(["support", "--sdk", image, "--ami", "al2023@latest"]) == 1
    text = capsys.readouterr().out
    assert "error: driver × runtime: al2023@latest brings the newest driver" in text
    assert "release-notes/components/runtime.rst" in text


def test_json_carries_combination_problems_and_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", "--sdk", "2.25.0", "--driver", "2.23.9", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "chatbot.support/v1"
    assert [problem["severity"] for problem in document["problems"]] == ["warning"]
    assert document["table"]["releases"][-1]["driver"] == "2.30.2"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--ami", "foo"], "'foo' names no AMI by its date: write 2026-06-18, al2023@v20260618 or al2023@latest."),
        (["--ami", "2026-13-45"], "'2026-13-45' names no AMI by its date"),
        (["--ami", "al2023@v20269999", "--sdk", "2.25.0"], "'al2023@v20269999' names no AMI"),
        (["--ami", ""], "'' names no AMI"),
        (["--driver", "abc"], "'abc' is no version for driver: write numbers with dots, such as 2.23.9."),
        (["--sdk", "foo"], "'foo' is no version for sdk"),
        (["--head-python", "3", "--ray", "x"], "'3' is no version for head-python: write numbers with dots, such as 3.10; 'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused_and_never_called_fine(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["support", *flags]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_an_sdk_that_the_table_does_not_hold_is_said_to_be_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", "--sdk", "2.40.0", "--no-library", "--driver", "2.30.2"]) == 0
    text = capsys.readouterr().out
    assert "warning: sdk: SDK 2.40.0 is not in the table" in text
    assert "knows nothing against it" not in text
