from __future__ import annotations

import dataclasses

import pytest

from cluster.rehearsal.kubelet.config import Image
from cluster.rehearsal.kubelet.machine.images import Images
from cluster.rehearsal.kubelet.pod.pulling import Arrival, NotFound
from cluster.rehearsal.scenario import Broken, Scenario

SCENARIO = Scenario("", 0, 0, 0, {"app:1": 130.0}, 0, speed=10)


def images(scenario: Scenario = SCENARIO) -> Images:
    return Images({"app:1": Image(()), "tool:1": Image(())}, scenario.scaled())


def test_an_image_is_pulled_once_for_each_node_in_the_scenarios_time() -> None:
    store = images()
    assert store.pull("n1", "app:1", 100) == Arrival(113, 13, is_first=True)
    assert store.pull("n1", "app:1", 105) == Arrival(113, 13, is_first=False)
    assert store.pull("n2", "app:1", 105) == Arrival(118, 13, is_first=True)


def test_an_image_of_no_time_is_there_at_once() -> None:
    assert images().pull("n1", "tool:1", 100) == Arrival(100, 0, is_first=True)


def test_a_node_that_is_gone_took_its_images_along() -> None:
    store = images()
    store.pull("n1", "app:1", 0)
    store.forget("n1")
    assert store.pull("n1", "app:1", 50).is_first


def test_an_image_that_nobody_mapped_or_that_the_scenario_misses_is_not_found() -> None:
    with pytest.raises(NotFound, match="other:2: not found"):
        images().pull("n1", "other:2", 0)
    broken = dataclasses.replace(SCENARIO, broken=Broken(images_missing=("app:1",)))
    with pytest.raises(NotFound, match="app:1: not found"):
        images(broken).pull("n1", "app:1", 0)
