"""Deploying against the real API server with the real CRDs; the controllers' statuses are a double's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.apply import Execution
from cluster.client import FIELD_MANAGER, Api
from cluster.objects import Manifest
from cluster.observe import Stage
from cluster.plan import Plan, diff
from tests.support import manifests
from tests.support.status_double import StatusDouble

pytestmark = pytest.mark.cluster


def planned(stage: Stage, desired: list[Manifest]) -> Plan:
    return diff(desired, stage.observe(desired), stage.orphans(desired), field_manager=FIELD_MANAGER)


def deployed(stage: Stage, desired: list[Manifest], *, force: bool = False) -> list[str]:
    """Plan and carry out; what was told."""
    told: list[str] = []
    Execution(stage, told.append, force_conflicts=force).run(planned(stage, desired), desired)
    return told


def live(stage: Stage, manifest: Manifest) -> Mapping[str, Any]:
    value = stage.live(manifest)
    assert value is not None
    return value


def test_objects_are_made_in_the_order_in_which_they_need_each_other(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    told = deployed(stage, manifests.chatbot())
    made = [line.removeprefix("create ") for line in told if line.startswith("create ")]
    assert [line.split()[0] for line in made] == ["Namespace", "ConfigMap", "EC2NodeClass", "NodePool", "RayService"]


def test_the_second_deploy_changes_nothing(api: Api, controllers: StatusDouble) -> None:
    stage = Stage(api, "eks")
    deployed(stage, manifests.chatbot())
    before = [live(stage, manifest)["metadata"]["resourceVersion"] for manifest in manifests.chatbot()]
    assert planned(stage, manifests.chatbot()).pending == []
    assert [line for line in deployed(stage, manifests.chatbot()) if "create" in line or "change" in line] == []
    assert [live(stage, manifest)["metadata"]["resourceVersion"] for manifest in manifests.chatbot()] == before
