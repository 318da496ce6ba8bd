from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.kustomize import render
from cluster.objects import Manifest
from cluster.placeholders import declared
from cluster.targets.rehearsal.timers import Timer, compare

MANIFESTS = Path("manifests")
EXAMPLES = {name: placeholder.example for name, placeholder in declared(MANIFESTS).items()}


def stack(entry: str) -> list[Manifest]:
    return render(MANIFESTS / "clusters" / entry, EXAMPLES)


def test_every_shortened_timer_is_told_with_both_values_and_the_stage_that_waits_for_it() -> None:
    found = compare(stack("rehearsal"), stack("eks"))
    assert Timer("downscale_delay_s", 12, 600, "serve-target-lowered") in found
    assert Timer("consolidateAfter", 5, 300, "node-deleted") in found
    assert Timer("RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S", 5, 30, "replica-drained") in found
    assert {timer.stage for timer in found if timer.name == "look_back_period_s"} == {
        "serve-target-raised",
        "serve-target-lowered",
    }
    assert all(timer.rehearsed < timer.production for timer in found)


def test_two_equal_stacks_differ_in_no_timer() -> None:
    assert compare(stack("eks"), stack("eks")) == []


def test_what_a_stack_does_not_write_counts_with_its_default() -> None:
    written = stack("eks")
    service = next(manifest for manifest in written if manifest.kind == "RayService")
    bare = copy.deepcopy(dict(service.value))
    del bare["spec"]["rayClusterConfig"]["autoscalerOptions"]["idleTimeoutSeconds"]
    others = [manifest for manifest in written if manifest.kind != "RayService"]
    assert compare([*others, Manifest(bare)], written) == []


def test_a_pool_that_never_gives_a_node_back_has_no_timer_to_compare() -> None:
    never = [copy.deepcopy(dict(manifest.value)) for manifest in stack("rehearsal")]
    for value in never:
        if value["kind"] == "NodePool":
            value["spec"]["disruption"]["consolidateAfter"] = "Never"
    bare = [value for value in never if value["kind"] != "NodePool"]
    for changed in (never, bare):
        manifests = [Manifest(value) for value in changed]
        for found in (compare(manifests, stack("eks")), compare(stack("eks"), manifests)):
            assert found
            assert "consolidateAfter" not in {timer.name for timer in found}


def test_a_stack_without_a_chatbot_is_refused_in_a_sentence() -> None:
    with pytest.raises(Refused, match="hold no RayService"):
        compare([manifest for manifest in stack("eks") if manifest.kind != "RayService"], stack("eks"))


def test_the_time_constants_file_says_the_very_values_that_production_has() -> None:
    """The comments of the one file stand for readers; what they say of production must be so."""
    lines = (MANIFESTS / "clusters/rehearsal/time-constants.yaml").read_text().splitlines()
    said: Mapping[str, tuple[float, float]] = {
        name.strip(): (_seconds(here), _seconds(there.split(":")[0].split(",")[0]))
        for line in lines
        if line.startswith("  ") and "#" in line and "never applied" not in line
        for name, here, there in [_parts(line)]
    }
    read = {timer.name: (timer.rehearsed, timer.production) for timer in compare(stack("rehearsal"), stack("eks"))}
    assert sorted(said.values()) == sorted(read.values())


def _parts(line: str) -> tuple[str, str, str]:
    name, _, rest = line.partition(":")
    here, _, there = rest.partition("#")
    return name, here, there


def _seconds(text: str) -> float:
    return float(text.strip().removesuffix("s"))
