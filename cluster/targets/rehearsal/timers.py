"""The timers that differ between the rehearsal and production, read from both rendered stacks; pure.

Ray, Serve and Karpenter wait by the clock, and no simulation can hurry them. So the rehearsal's manifests shorten what
manifests/clusters/rehearsal/time-constants.yaml lists, and a verdict says what the same stage takes with production's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from cluster.errors import Refused
from cluster.lint.karpenter import duration_s
from cluster.objects import Manifest, dig, mappings, text

_SCALING = ("applications", 0, "deployments", 0, "autoscaling_config")
_HEAD_POD = ("spec", "rayClusterConfig", "headGroupSpec", "template", "spec")
_UP, _DOWN = "serve-target-raised", "serve-target-lowered"


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer and a stage of the verdict that waits for it, None where none does."""

    name: str
    rehearsed: float
    production: float
    stage: str | None
    unit: str = "s"


def compare(rehearsed: Sequence[Manifest], production: Sequence[Manifest]) -> list[Timer]:
    """Every timer of ours that differs, once for each stage that waits for it, or once. Raises Refused without a RayService."""
    theirs = dict(_read(production))
    return [
        Timer(name, seconds, theirs[name], stage)
        for name, seconds in _read(rehearsed)
        for stage in _WAITING[name]
        if seconds != theirs.get(name, seconds)
    ]


# Seconds where a stack does not write them: Ray's defaults (2.60, serve/config.py, serve/_private/constants.py and
# common/ray_config_def.h).
_ENVIRONMENT = {
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": 10.0,
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": 30.0,
    "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": 30.0,
    "RAY_gcs_rpc_server_reconnect_timeout_s": 60.0,
}
_SERVE_SCALING = {"look_back_period_s": 30.0, "upscale_delay_s": 30.0, "downscale_delay_s": 600.0}

_WAITING: dict[str, tuple[str | None, ...]] = {
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": (_UP, _DOWN),
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": ("replica-drained",),
    "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": ("ray-node-idle",),
    "RAY_gcs_rpc_server_reconnect_timeout_s": (None,),
    "look_back_period_s": (_UP, _DOWN),
    "upscale_delay_s": (_UP,),
    "downscale_delay_s": (_DOWN,),
    "idleTimeoutSeconds": ("ray-node-idle",),
    "terminationGracePeriodSeconds": (None,),
    "consolidateAfter": ("node-deleted",),
}


def _read(stack: Sequence[Manifest]) -> Iterator[tuple[str, float]]:
    service = next((manifest for manifest in stack if manifest.kind == "RayService"), None)
    if service is None:
        raise Refused("The manifests hold no RayService, whose timers a verdict compares: add one to the stack.")
    environment = {
        text(e.get("name")): text(e.get("value"))
        for e in mappings(dig(service.value, *_HEAD_POD, "containers", 0, "env"))
    }
    for name, usual in _ENVIRONMENT.items():
        yield name, float(environment.get(name, usual))
    scaling = dig(yaml.safe_load(service.get("spec", "serveConfigV2")), *_SCALING) or {}
    for name, usual in _SERVE_SCALING.items():
        yield name, float(scaling.get(name, usual))
    idle: Any = service.get("spec", "rayClusterConfig", "autoscalerOptions", "idleTimeoutSeconds")
    yield "idleTimeoutSeconds", 60.0 if idle is None else float(idle)
    grace: Any = dig(service.value, *_HEAD_POD, "terminationGracePeriodSeconds")
    yield "terminationGracePeriodSeconds", 30.0 if grace is None else float(grace)
    # Of the pool with accelerators, the only one whose nodes a verdict follows: where they never go, nothing waits.
    pools = (m for m in stack if m.kind == "NodePool" and dig(m.value, "spec", "template", "spec", "taints"))
    pool = next(pools, None)
    seconds = duration_s(pool.get("spec", "disruption", "consolidateAfter")) if pool else None
    if seconds is not None and math.isfinite(seconds):
        yield "consolidateAfter", seconds
