from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from cluster.client import Collection
from cluster.errors import NotReady
from cluster.objects import Key
from cluster.wait import READY, Patience, State, readiness, until_all_ready


def value(kind: str, *, generation: int = 2, spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": generation}, "spec": spec or {}, "status": status}


def condition(kind: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, **fields}


@pytest.mark.parametrize(
    "ready",
    [
        value("ConfigMap"),
        value("Namespace", phase="Active"),
        value("NodePool", conditions=[condition("Ready", "True", observedGeneration=2)]),
        value("EC2NodeClass", conditions=[condition("Ready", "True")]),
        value("RayService", observedGeneration=2, conditions=[condition("Ready", "True")]),
        value("DaemonSet", observedGeneration=2, desiredNumberScheduled=0, numberReady=0),
        value("Deployment", spec={"replicas": 2}, observedGeneration=2, readyReplicas=2),
        value("Job", conditions=[condition("SuccessCriteriaMet", "True"), condition("Complete", "True")]),
    ],
)
def test_an_object_is_ready_when_its_controller_says_so_of_this_version(ready: dict[str, Any]) -> None:
    assert readiness(ready) == READY


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        (value("NodePool"), "its controller has not looked at it yet"),
        (value("NodePool", conditions=[condition("Ready", "True", observedGeneration=1)]), "its controller has not looked at it yet"),
        (
            value("EC2NodeClass", conditions=[condition("SubnetsReady", "False", message="none found")]),
            "SubnetsReady: none found",
        ),
        (value("RayService", observedGeneration=1), "KubeRay has not looked at this version yet"),
        (
            value("RayService", observedGeneration=2, conditions=[condition("Ready", "True"), condition("UpgradeInProgress", "True")]),
            "the new cluster is not serving yet, the old one still answers",
        ),
        (value("RayService", observedGeneration=2, conditions=[condition("Ready", "False", reason="Initializing")]), "Initializing"),
        (value("DaemonSet", observedGeneration=2, desiredNumberScheduled=3, numberReady=1), "1 of 3 pods are ready"),
        (value("StatefulSet", observedGeneration=2), "0 of 1 pods are ready"),
        (value("Namespace", phase="Terminating"), "it is being deleted"),
        (value("Job", active=4), "4 pods at work, 0 done"),
    ],
)  # fmt: skip
def test_what_is_not_ready_says_what_it_waits_for(waiting: dict[str, Any], reason: str) -> None:
    assert readiness(waiting) == State(ready=False, reason=reason)


def test_a_job_that_failed_is_hopeless() -> None:
    failed = condition("Failed", "True", reason="BackoffLimitExceeded", message="Job has reached the limit")
    assert readiness(value("Job", conditions=[failed])) == State(
        ready=False, reason="BackoffLimitExceeded: Job has reached the limit", hopeless=True
    )


class Looks:
    """A collection that is followed for as many looks as are given."""

    def __init__(self, *looks: list[dict[str, Any]]) -> None:
        self.looks = looks

    def follow(self) -> Iterator[list[dict[str, Any]]]:
        yield from self.looks


def job(name: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"active": 1, "conditions": list(conditions)}}


def wait_for_jobs(*looks: list[dict[str, Any]], timeout_s: float = 60) -> list[str]:
    told: list[str] = []
    keys = [Key("batch", "Job", "there", name) for name in ("master", "worker")]
    until_all_ready(cast(Collection, Looks(*looks)), keys, Patience(timeout_s, told.append, now=lambda: 0.0))
    return told


def test_objects_are_waited_for_together_and_what_is_left_is_told() -> None:
    complete = condition("Complete", "True")
    told = wait_for_jobs(
        [job("worker"), job("master"), job("theirs")],
        [job("worker"), job("master", complete), job("theirs")],
        [job("worker", complete), job("master", complete), job("theirs")],
    )
    assert told == [f"Job there/{name}: 1 pods at work, 0 done" for name in ("master", "worker")]


def test_one_that_failed_ends_the_wait_for_all() -> None:
    failed = condition("Failed", "True", reason="BackoffLimitExceeded", message="it has reached it")
    with pytest.raises(NotReady, match="Job there/worker is not ready: BackoffLimitExceeded: it has reached it"):
        wait_for_jobs([job("worker", failed), job("master")])


def test_one_that_goes_ends_the_wait_for_all() -> None:
    with pytest.raises(NotReady, match="Job there/worker was deleted while we waited for it"):
        wait_for_jobs([job("worker"), job("master")], [job("master")])


def test_a_wait_ends_with_what_is_left_when_its_time_is_over() -> None:
    with pytest.raises(NotReady, match="Job there/worker is not ready after 0 s: 1 pods at work, 0 done"):
        wait_for_jobs([job("worker"), job("master", condition("Complete", "True"))], timeout_s=0)


@pytest.mark.parametrize("reason", ["InitializingTimeout", "ValidationFailed"])
def test_a_ray_service_that_kuberay_gave_up_is_hopeless(reason: str) -> None:
    gone = value("RayService", observedGeneration=2, conditions=[condition("Ready", "False", reason=reason)])
    assert readiness(gone).hopeless
