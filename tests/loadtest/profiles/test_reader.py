"""Profile files: the shipped ones are valid, and what is wrong with others is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import profiles
from loadtest.arrivals import schedule
from loadtest.errors import UsageError
from loadtest.profiles.reader import read

GOOD = """\
name: mine
description: Of a test.
seed: 1
loop: open
stages:
  - name: only
    duration_s: 10
    rate:
      shape: constant
      per_s: 2
"""


def fault(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        read(path)
    return str(raised.value).removeprefix(str(path))


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_profile_is_valid_and_called_like_its_file(name: str) -> None:
    assert read(profiles.find(name)).name == name


def test_all_profiles_that_the_docs_promise_are_shipped() -> None:
    assert {"smoke", "step", "spike", "soak", "ramp-to-knee", "conversation"} <= set(profiles.names())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("per_s: 2", "per_s: fast"), ":10: stages.0.rate.per_s: `fast` will not do: give a number"),
        (("per_s: 2", "per_s: -1"), ":10: stages.0.rate.per_s: `-1` will not do: give 0 or more"),
        (("shape: constant", "shape: square"), ":9: stages.0.rate.shape: `square` will not do: give one of constant, ramp"),
        (("      shape: constant\n", ""), ":8: stages.0.rate.shape: is missing: add it, one of constant, ramp"),
        (("rate:\n      shape: constant\n      per_s: 2", "rate: 2"), ":8: stages.0.rate: `2` will not do: give fields"),
        (("seed: 1\n", ""), ":1: seed: is missing: add it"),
        (("seed: 1", "seed: 1\nsneed: 2"), ":4: sneed: there is no such field: did you mean seed? (fields here: name,"),
        (("seed: 1", "seed: 1\n7: 2"), ":4: 7: there is no such field (fields here: name,"),
        (
            ("per_s: 2", "per_s: 2\n      to: 3"),
            ":11: stages.0.rate.to: there is no such field (fields here: shape, per_s)",
        ),
        (
            ("seed: 1", "seed: 1\nslo: {ttft: 2}"),
            ":4: slo.ttft: there is no such field: did you mean ttft_s? (fields here: ttft_s, itl_s,",
        ),
        (("seed: 1", "seed: 1.5"), ":3: seed: `1.5` will not do: give a whole number"),
        (("seed: 1", "seed: 1\nfind_knee: maybe"), ":4: find_knee: `maybe` will not do: give true or false"),
        (("loop: open", "loop: ajar"), ":4: loop: `ajar` will not do: give open or closed"),
        (("name: mine", "name: My Test"), ":1: name: `My Test` will not do: give something that matches ^[a-z0-9-]+$"),
        (("name: only", "name: ''"), ":6: stages.0.name: nothing will not do: give at least 1 character"),
        (("description: Of a test.", "description:"), ":2: description: nothing will not do: give text"),
        (("description: Of a test.", "description: 2024-12-01"), ":2: description: `2024-12-01` will not do: give text"),
        (("description: Of a test.", "description: 2024-13-01"), ": a value is no date or number (month must be"),
        (("seed: 1", "seed: 1\nprompts: {words: -4}"), ":4: prompts.words: `-4` will not do: give 0 or more"),
        (("seed: 1", "seed: 1\nslo: 3"), ":4: slo: `3` will not do: give fields with their values"),
        (("seed: 1", "seed: 1\nslo: {scale_with_speed: ttft_s}"), ":4: slo.scale_with_speed: `ttft_s` will not do: give a list"),
        (
            ("seed: 1", "seed: 1\nscaling: {stage_budget_s: {replica-runing: 3}}"),
            ":4: scaling.stage_budget_s: `replica-runing` is no stage of the chain: give one of load-applied,",
        ),
        (("seed: 1", "seed: 1\nscaling: {load_stage: x}"), ":1: scaling.load_stage: no stage is called x: give one of only"),
        (("constant\n      per_s: 2", "step\n      levels_per_s: [1]"), ":10: stages.0.rate.levels_per_s: `[1]` will not do: give at least 2"),
        (
            ("constant\n      per_s: 2", "sine\n      mean_per_s: 1\n      amplitude_per_s: 2\n      period_s: 4"),
            ":8: stages.0.rate: amplitude_per_s must not exceed mean_per_s",
        ),
        (("seed: 1", "seed: 1\nseed: 2"), ":4: `seed` stands twice"),
        (("duration_s: 10", "duration_s: 99999"), ":7: stages.0.duration_s: `99999` will not do: give 86400 or less"),
        (("duration_s: 10", "duration_s: 5000"), ":1: stages last 5000 s, more than bounds.duration_s 3600: shorten them, or raise it"),
        (("loop: open", "loop: closed"), ":1: stages.0 (only): a loop that is closed needs `users` and only it"),
        (("per_s: 2", "per_s: 9000"), ":5: the stages ask for more than bounds.requests = 20000 requests"),
        (("name: only\n", "name: only\n  bad indent: ["), ":7: cannot be read as YAML: "),
        (("seed: 1", "seed: 1\n[a]: 2"), ":4: cannot be read as YAML: while constructing a mapping, found unhashable key"),
        (("seed: 1", "seed: 1\x00"), ":1: cannot be read as YAML: unacceptable character #x0000"),
        (("seed: 1", "seed: &a {b: *a}"), ": an alias stands within what it names"),
        (("seed: 1", "seed: 1\n---\na: 2"), ":4: cannot be read as YAML: expected a single document in the stream, but found another document"),
        (("per_s: 2", "per_s: .inf"), ":10: stages.0.rate.per_s: `inf` will not do: give a finite number"),
        (
            ("seed: 1\n", "seed: 1\nprompts:\n  words: {kind: uniform, least: 5, most: 1}\n"),
            ":5: prompts.words.most: 1 is below `least`, which is 5",
        ),
        (
            ("seed: 1\n", "seed: 1\nprompts:\n  words: {kind: lognormal, median: 9, sigma: 1, least: 50,\n    most: 2}\n"),
            ":6: prompts.words.most: 2 is below `least`, which is 50",
        ),
        (("seed: 1\n", "seed: 1\nfind_knee: true\n"), ":1: find_knee needs a loop that is open and a limit in time"),
    ],
)  # fmt: skip
def test_a_fault_is_said_with_file_and_line(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert fault(tmp_path, GOOD.replace(*change)).startswith(said)


def test_every_fault_is_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("per_s: 2", "per_s: fast").replace("seed: 1", "seed: one")
    assert len(fault(tmp_path, text).splitlines()) == 2


def test_a_file_that_is_no_mapping_or_no_file_is_refused(tmp_path: Path) -> None:
    assert "a profile is a mapping" in fault(tmp_path, "- 1\n")
    with pytest.raises(UsageError, match=r"no profile nowhere: give a YAML file or one of .*smoke"):
        profiles.find("nowhere")


def test_a_trace_is_replayed_from_the_file_beside_the_profile(tmp_path: Path) -> None:
    (tmp_path / "trace.txt").write_text("# seconds\n0.5\n\n3.25\n1 # late\n")
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("shape: constant", "shape: replay").replace("per_s: 2", "file: trace.txt"))
    assert [arrival.at_s for arrival in schedule(read(path))] == [0.5, 1.0, 3.25]


def test_a_wrong_line_of_a_trace_is_named(tmp_path: Path) -> None:
    (tmp_path / "trace.txt").write_text("0.5\nsoon\n")
    said = fault(tmp_path, GOOD.replace("shape: constant", "shape: replay").replace("per_s: 2", "file: trace.txt"))
    assert said.endswith("trace.txt:2: `soon` is not an offset in seconds")
    for text, why in (
        ("-1", "is not an offset from the stage's start"),
        ("nan", "is not an offset from the stage's start"),
        ("inf", "is not an offset from the stage's start"),
        ("10", "is past the stage's end, duration_s 10"),
    ):
        (tmp_path / "trace.txt").write_text(f"0.5\n\n{text}\n")
        said = fault(tmp_path, GOOD.replace("shape: constant", "shape: replay").replace("per_s: 2", "file: trace.txt"))
        assert said.endswith(f"trace.txt:3: `{text}` {why}")
    missing = fault(tmp_path, GOOD.replace("shape: constant", "shape: replay").replace("per_s: 2", "file: no.txt"))
    assert "cannot read the trace" in missing


def test_a_number_is_a_distribution_that_never_varies(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD + "prompts: {words: 7}\n")
    assert read(path).prompts.words.kind == "fixed"
