from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import kustomize
from cluster.errors import Refused
from cluster.rehearsal import scenario
from cluster.rehearsal.build import Built
from cluster.rehearsal.component import Component
from cluster.rehearsal.components import Parts, Sockets, inner_environment
from cluster.rehearsal.control_plane import ControlPlane, Ports
from cluster.rehearsal.programs import CONTROL_PLANE
from cluster.rehearsal.scenario import Broken, Scenario
from cluster.targets.rehearsal import CLUSTERS, NAME, VARIABLES

PERSON = {"PATH": "/usr/bin", "HOME": "/home/jane", "AWS_PROFILE": "production", "https_proxy": "http://p:3128"}


@pytest.fixture
def field() -> Scenario:
    return dataclasses.replace(scenario.read("field"), speed=10.0)


def components(home: Path, world: Scenario) -> dict[str, Component]:
    built, environment = Built(home / "cache"), inner_environment(PERSON)
    plane = ControlPlane(built, home, environment=environment, ports=Ports(1, 2, 3, 4, 5))
    plane.write_files()
    parts = Parts(built, home, environment, world, Sockets(8, 9), plane)
    return {component.name: component for component in parts.components()}


def images_of_the_manifests(*kinds: str) -> set[str]:
    """That any pod of the rehearsed stack runs, or any of these kinds."""
    rendered = kustomize.build(CLUSTERS / NAME).fill(VARIABLES)
    return {image for made in rendered if not kinds or made.kind in kinds for image in images(made.value)}


def images(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("image"), str):
            yield value["image"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from images(item)


def plugin_image_of_the_manifests() -> str:
    (image,) = images_of_the_manifests("DaemonSet")
    return image


def test_every_component_comes_after_what_it_waits_for(tmp_path: Path, field: Scenario) -> None:
    found = components(tmp_path, field)
    names = list(found)
    assert {"ec2", "kube-apiserver", "kwok", "kubelet", "karpenter", "kuberay-operator", "forward"} <= set(names)
    for component in found.values():
        assert all(names.index(other) < names.index(component.name) for other in component.after)


def test_what_nobody_asks_whether_it_is_ready_is_waited_for_after_all_others(tmp_path: Path, field: Scenario) -> None:
    assert list(components(tmp_path, field))[-1] == "forward"


def test_what_the_scenario_leaves_out_is_not_there(tmp_path: Path, field: Scenario) -> None:
    found = components(tmp_path, dataclasses.replace(field, absent=("kuberay-operator",)))
    assert "kuberay-operator" not in found
    assert "karpenter" in found


def test_what_is_no_component_cannot_be_left_out(tmp_path: Path, field: Scenario) -> None:
    with pytest.raises(Refused, match=r"no component karpentr to leave out: it has .*karpenter"):
        components(tmp_path, dataclasses.replace(field, absent=("kubelet", "karpentr")))


def test_neither_proxy_nor_cloud_account_of_the_person_reach_the_lab(tmp_path: Path, field: Scenario) -> None:
    for component in components(tmp_path, field).values():
        assert not {"AWS_PROFILE", "https_proxy"} & set(component.environment)


def test_karpenter_waits_for_the_scaled_boot_or_for_ever(tmp_path: Path, field: Scenario) -> None:
    found = components(tmp_path, field)["karpenter"].environment
    assert found["NODE_LAUNCH_DELAY"] == "3.500s"
    broken = dataclasses.replace(field, broken=Broken(nodes_never_launch=True))
    assert components(tmp_path, broken)["karpenter"].environment["NODE_LAUNCH_DELAY"] == "31536000.000s"


def test_the_kubelet_is_told_which_images_there_are_and_how_long_a_model_loads(tmp_path: Path, field: Scenario) -> None:
    kubelet = components(tmp_path, field)["kubelet"]
    assert kubelet.prepare is not None
    kubelet.prepare()
    config = json.loads((tmp_path / "kubelet.json").read_text())
    assert set(config["images"]) == images_of_the_manifests() == set(field.image_pull_s)
    commands = {image: value["command"] for image, value in config["images"].items() if "command" in value}
    assert list(commands) == [plugin_image_of_the_manifests()]
    assert config["images"]["chatbot-neuron:rehearsal"]["environment"]["CHATBOT_RUNNER__START_UP_S"] == "15.0"
    assert config["images"]["chatbot-cpu:rehearsal"]["environment"]["CHATBOT_RUNNER__START_UP_S"] == "15.0"
    assert config["images"]["chatbot-cpu:rehearsal"]["environment"]["HOME"] == "/home/jane"
    assert Path(config["certificate"]).is_file()
    assert Scenario.from_json(config["scenario"]) == field


def test_the_node_that_kwok_makes_ready_names_the_kubelet_of_all_nodes(tmp_path: Path, field: Scenario) -> None:
    kwok = components(tmp_path, field)["kwok"]
    assert kwok.prepare is not None
    kwok.prepare()
    stage = json.loads((tmp_path / "kwok.json").read_text())
    assert stage["spec"]["delay"] == {"durationMilliseconds": 1500}
    template = stage["spec"]["next"]["statusTemplate"]
    assert "address: 10.88.7.1" in template
    assert "Port: 10250" in template
    assert f"kubeletVersion: {CONTROL_PLANE.version}" in template
