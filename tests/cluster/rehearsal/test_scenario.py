from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import Refused
from cluster.rehearsal import scenario
from cluster.rehearsal.scenario import Broken, Scenario

MINIMAL: dict[str, Any] = {
    "description": "a test's",
    "node_launch_s": 30,
    "node_ready_s": 10,
    "device_advertised_s": 5,
    "image_pull_s": {"chatbot-neuron:rehearsal": 100},
    "model_load_s": 60,
    "speed": 20,
}


def test_every_shipped_scenario_can_be_read_by_its_name() -> None:
    names = [path.stem for path in scenario.SHIPPED.glob("*.yaml")]
    assert "field" in names
    for name in names:
        assert scenario.read(name).description


def test_scaling_divides_every_time_and_scaling_again_changes_nothing() -> None:
    scaled = Scenario.from_json(MINIMAL).scaled()
    assert (scaled.node_launch_s, scaled.node_ready_s, scaled.device_advertised_s) == (1.5, 0.5, 0.25)
    assert (scaled.model_load_s, scaled.image_pull_s) == (3.0, {"chatbot-neuron:rehearsal": 5.0})
    assert scaled.scaled() == scaled


def test_a_scenario_survives_json() -> None:
    before = Scenario.from_json({**MINIMAL, "absent": ["kwok"], "broken": {"images_missing": ["a:b"]}})
    assert before.broken == Broken(images_missing=("a:b",))
    assert Scenario.from_json(json.loads(json.dumps(before.to_json()))) == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"speed": 0}, "speed: Input should be greater than 0"),
        ({"node_launch_s": -1}, "node_launch_s: Input should be greater than or equal to 0"),
        ({"runner": "fast"}, "runner: Input should be 'simulated' or 'real'"),
        ({"lunch_s": 1}, "lunch_s: Unexpected keyword argument"),
        ({"broken": {"nodes_never_lunch": True}}, "broken.nodes_never_lunch: Unexpected keyword argument"),
        ({"image_pull_s": {"a": "slow"}}, "image_pull_s.a: Input should be a valid number"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        Scenario.from_json({**MINIMAL, **change})
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Refused, match=r"There is no scenario 'feild': name one of .*field"):
        scenario.read("feild")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"speed: 1\nrunner: [", r"found '<stream end>'.* line 2"), (b"\xff\x00", "invalid start byte")],
)
def test_a_file_that_is_no_yaml_is_refused_with_its_path_and_the_place(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(Refused, match=rf"mine\.yaml is no YAML: .*{sentence}") as refused:
        scenario.read(str(path))
    assert "\n" not in str(refused.value)
