from __future__ import annotations

import dataclasses
from typing import Any

from cluster.rehearsal.kubelet.pod import status
from cluster.rehearsal.kubelet.pod.status import Place
from tests.support.kubelet_pods import START, Life, container, pod, terminating

PLACE = Place("10.88.8.1", "10.88.7.1", START)


def built(life: Life, known: status.Conditions | None = None) -> dict[str, Any]:
    return status.build(life.pod, life.state, PLACE, known or {}, life.now)


def conditions(document: dict[str, Any]) -> dict[str, str]:
    return {name: str(condition["status"]) for name, condition in status.conditions_of(document).items()}


def test_a_new_pod_is_pending_and_says_what_its_containers_wait_for() -> None:
    document = built(Life(pod(initContainers=[container("i")])))
    assert document["phase"] == "Pending"
    assert document["initContainerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert document["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert set(conditions(document).values()) == {"False"}


def test_a_running_pod_without_probes_is_ready() -> None:
    life = Life(pod())
    life.settle()
    document = built(life)
    assert document["phase"] == "Running"
    assert set(conditions(document).values()) == {"True"}
    assert document["podIPs"] == [{"ip": "10.88.8.1"}]
    assert document["containerStatuses"][0]["state"] == {"running": {"startedAt": "2027-01-15T08:00:00Z"}}
    assert document["containerStatuses"][0]["ready"] is True
    assert document["containerStatuses"][0]["containerID"] == "process://u1/c/1"


def test_a_container_with_a_readiness_probe_is_unready_until_it_passes() -> None:
    life = Life(pod(container(readinessProbe={"httpGet": {"port": 1}})))
    life.settle()
    document = built(life)
    assert conditions(document)["Ready"] == "False"
    assert status.conditions_of(document)["Ready"]["message"] == "containers with unready status: [c]"
    life.answer("c", "readiness", success=True)
    assert conditions(built(life))["Ready"] == "True"


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    life = Life(pod(restartPolicy="Never"))
    life.settle()
    first = status.conditions_of(built(life))
    life.now += 60
    assert status.conditions_of(built(life, first)) == first
    life.exit("c", 0)
    later = status.conditions_of(built(life, first))
    assert later["Ready"]["lastTransitionTime"] == "2027-01-15T08:01:00Z"
    assert later["Initialized"] == first["Initialized"]


def test_a_pod_waits_for_its_readiness_gates() -> None:
    gates = [{"conditionType": "example.com/lb"}]
    life = Life(pod(readinessGates=gates))
    life.settle()
    assert conditions(built(life))["Ready"] == "False"
    opened = {"conditions": [{"type": "example.com/lb", "status": "True"}]}
    life.pod = pod(status=opened, readinessGates=gates)
    assert conditions(built(life))["Ready"] == "True"


def test_a_crashing_container_shows_why_it_ended_and_what_it_waits_for() -> None:
    life = Life(pod())
    for _ in range(2):
        life.settle()
        life.exit("c", 137, "OOMKilled")
    document = built(life)
    shown = document["containerStatuses"][0]
    assert document["phase"] == "Running"
    assert shown["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert shown["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert shown["lastState"]["terminated"]["exitCode"] == 137
    assert shown["restartCount"] == 1


def test_a_finished_pod_has_succeeded_or_failed_by_its_exit_codes() -> None:
    for code, phase, reason in ((0, "Succeeded", "PodCompleted"), (3, "Failed", "PodFailed")):
        life = Life(pod(restartPolicy="Never"))
        life.settle()
        life.exit("c", code)
        document = built(life)
        assert document["phase"] == phase
        assert status.conditions_of(document)["Ready"]["reason"] == reason


def test_a_failed_init_container_fails_the_pod_that_never_restarts() -> None:
    life = Life(pod(initContainers=[container("i")], restartPolicy="Never"))
    life.settle()
    life.exit("i", 1)
    document = built(life)
    assert document["phase"] == "Failed"
    assert document["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_terminated_pod_ends_as_its_containers_did_whatever_its_policy() -> None:
    life = Life(pod())
    life.settle()
    life.pod = terminating(life.pod, START + 30)
    life.settle()
    life.exit("c", 137)
    assert built(life)["phase"] == "Failed"


def test_a_released_pod_has_no_sandbox_any_more() -> None:
    life = Life(pod())
    life.settle()
    life.state = dataclasses.replace(life.state, is_released=True)
    assert conditions(built(life))["PodReadyToStartContainers"] == "False"
