from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cluster import kustomize, placeholders
from cluster.rehearsal import scenario
from cluster.rehearsal.lab import Running
from cluster.targets import rehearsal
from cluster.targets.rehearsal import state
from cluster.targets.rehearsal.timers import Timer
from tests.cluster.targets.rehearsal.test_timers import stack

FIELD = scenario.read("field")
IMAGES = {"worker": "chatbot-neuron:rehearsal", "plugin": "public.ecr.aws/neuron/neuron-device-plugin:2.22.4.0"}


def test_each_simulated_stage_has_its_time_here_and_in_the_field() -> None:
    found = state.simulated_stages(replace(FIELD, speed=10.0), IMAGES)
    assert found["image-pulled"]["production_s"] == pytest.approx(FIELD.image_pull_s["chatbot-neuron:rehearsal"])
    for stage in found.values():
        assert stage["production_s"] == pytest.approx(10 * stage["rehearsed_s"])
        assert stage["what"]
    assert set(found) == {"node-registered", "device-advertised", "image-pulled", "model-loaded"}


def test_a_real_model_takes_this_machines_time_to_load() -> None:
    assert "model-loaded" not in state.simulated_stages(replace(FIELD, runner="real"), IMAGES)


def test_the_load_test_is_told_addresses_names_and_timers(tmp_path: Path) -> None:
    lab = Running(1, tmp_path / "kubeconfig", "http://127.0.0.1:1", FIELD, ())
    found = state.document(lab, stack("rehearsal"), [Timer("upscale_delay_s", 3, 10, "serve-target-raised")])
    assert (found["namespace"], found["rayservice"]) == ("chatbot", "chatbot")
    assert found["usd_per_hour"]["trn1.2xlarge"] == 1.34375
    assert "m5.xlarge" in found["usd_per_hour"]
    assert "g5.xlarge" not in found["usd_per_hour"]
    assert found["rehearsal"]["timers"] == [
        {"name": "upscale_delay_s", "rehearsed": 3, "production": 10, "stage": "serve-target-raised", "unit": "s"}
    ]
    assert found["rehearsal"]["stages"]["image-pulled"]["rehearsed_s"] > 0
    state.write(tmp_path / "new" / "state.json", found)
    assert json.loads((tmp_path / "new" / "state.json").read_text()) == json.loads(json.dumps(found))


def test_the_variables_are_all_that_the_manifests_of_the_rehearsal_use() -> None:
    for entry in ("rehearsal", "rehearsal-real-model", "rehearsal/loadtest"):
        built = kustomize.build(rehearsal.CLUSTERS / entry)
        assert set(placeholders.used(built.content)) <= set(rehearsal.VARIABLES)
