"""What the deployed rehearsal writes down for the load test: addresses, and how its times relate to production's.

`loadtest` reads it; the file's place (`state.json`) and the names in it are a promise.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.instance_types import usd_per_hour
from cluster.objects import Manifest, dig, mappings, text
from cluster.rehearsal.lab import Running
from cluster.rehearsal.scenario import Scenario
from cluster.targets.rehearsal.timers import Timer

SCHEMA = "chatbot.rehearsal-state/v1"


def document(lab: Running, desired: Sequence[Manifest], timers: Sequence[Timer]) -> dict[str, Any]:
    """The state of a chatbot that stands on `lab`."""
    service = next(manifest for manifest in desired if manifest.kind == "RayService")
    stages = simulated_stages(lab.scenario, _images(desired))
    return {
        "schema": SCHEMA,
        "base_url": lab.chat_url,
        "kubeconfig": str(lab.kubeconfig),
        "namespace": service.namespace,
        "rayservice": service.name,
        "usd_per_hour": prices(desired),
        "rehearsal": {
            "speed": lab.scenario.speed,
            "stages": stages,
            "timers": [asdict(timer) for timer in timers],
        },
    }


def prices(desired: Sequence[Manifest]) -> dict[str, float]:
    """On demand, of every instance type that a node pool names by itself or by its family."""
    pools = [m for m in desired if m.kind == "NodePool"]
    requirements = [r for pool in pools for r in mappings(dig(pool.value, "spec", "template", "spec", "requirements"))]
    named = {text(value) for requirement in requirements for value in requirement.get("values") or ()}
    return {kind: usd for kind, usd in usd_per_hour().items() if named & {kind, kind.partition(".")[0]}}


def simulated_stages(scenario: Scenario, images: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The stages of a verdict whose time is the scenario's, with what passes here and in the field.

    `images` holds the references of the `worker` and of the device `plugin`.
    """
    pulls = scenario.image_pull_s
    device_s = scenario.node_ready_s + pulls.get(images["plugin"], 0.0) + scenario.device_advertised_s
    found = {
        "node-registered": (scenario.node_launch_s, "the instance boots and its kubelet joins the cluster"),
        "device-advertised": (device_s, "the node turns ready, and the device plugin is pulled and finds the devices"),
        "image-pulled": (pulls.get(images["worker"], 0.0), "the worker's image is pulled and unpacked"),
    }
    if scenario.runner == "simulated":
        found["model-loaded"] = (scenario.model_load_s, "weights and compiled graphs are loaded onto the device")
    return {
        stage: {"rehearsed_s": seconds / scenario.speed, "production_s": seconds, "what": what}
        for stage, (seconds, what) in found.items()
    }


def write(file: Path, state: Mapping[str, Any]) -> None:
    """Replace the file as a whole. Raises ClusterError when it cannot be written."""
    fresh = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        os.replace(fresh, file)
    except OSError as error:
        raise ClusterError(f"{file} cannot be written ({error.strerror}): make room, or set XDG_CACHE_HOME.") from error


def _images(desired: Sequence[Manifest]) -> dict[str, str]:
    def first(kind: str, *path: str | int) -> str:
        return next((text(dig(m.value, *path, "image")) for m in desired if m.kind == kind), "")

    pod = ("template", "spec", "containers", 0)
    return {
        "worker": first("RayService", "spec", "rayClusterConfig", "workerGroupSpecs", 0, *pod),
        "plugin": first("DaemonSet", "spec", *pod),
    }
