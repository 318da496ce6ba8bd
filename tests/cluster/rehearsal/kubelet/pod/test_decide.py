from __future__ import annotations

import dataclasses

import pytest

from cluster.rehearsal.kubelet.pod.decide import (
    Kill,
    Plan,
    Prepare,
    Pull,
    Release,
    Remove,
    RunProbe,
    Start,
    Stop,
    decide,
)
from cluster.rehearsal.kubelet.pod.state import Ended, PodState, Record, Waiting, first_records
from tests.support.kubelet_pods import START, Life, container, pod, terminating


def test_a_pod_is_prepared_then_its_image_pulled_then_its_container_started() -> None:
    assert Life(pod()).settle() == [Prepare(), Pull("c"), Start("c")]


def test_a_pod_waits_for_its_node_to_be_ready() -> None:
    life = Life(pod())
    life.state = dataclasses.replace(life.state, node_is_ready=False)
    assert decide(life.pod, life.state, START) == Plan()


def test_nothing_is_started_before_its_image_is_there() -> None:
    state = PodState({"c": Record(Waiting("ContainerCreating"), pulled_at=START + 13)}, True, is_prepared=True)
    assert decide(pod(), state, START) == Plan(wake_at=START + 13)
    assert decide(pod(), state, START + 13) == Plan((Start("c"),))


def test_preparing_is_tried_again_when_its_time_has_come() -> None:
    state = PodState(first_records(pod(), START), True, not_before=START + 2)
    assert decide(pod(), state, START) == Plan(wake_at=START + 2)
    assert decide(pod(), state, START + 2) == Plan((Prepare(),))


def test_init_containers_run_one_after_the_other_and_the_rest_side_by_side() -> None:
    life = Life(pod(container("a"), container("b"), initContainers=[container("i1"), container("i2")]))
    assert life.settle()[-1] == Start("i1")
    assert life.settle() == []
    life.exit("i1", 0)
    assert life.settle() == [Pull("i2"), Start("i2")]
    life.exit("i2", 0)
    assert life.settle() == [Pull("a"), Pull("b"), Start("a"), Start("b")]


def test_an_init_container_that_fails_is_started_again_unless_the_pod_never_restarts() -> None:
    life = Life(pod(initContainers=[container("i")]))
    life.settle()
    life.exit("i", 1)
    assert life.settle() == [Start("i")]
    never = Life(pod(initContainers=[container("i")], restartPolicy="Never"))
    never.settle()
    never.exit("i", 1)
    assert never.settle() == [Release()]


@pytest.mark.parametrize(
    ("policy", "code", "next_"),
    [
        ("Always", 0, [Start("c")]),
        ("Always", 1, [Start("c")]),
        ("OnFailure", 0, [Release()]),
        ("OnFailure", 1, [Start("c")]),
        ("Never", 0, [Release()]),
        ("Never", 1, [Release()]),
    ],
)
def test_the_restart_policy_decides_what_follows_an_end(policy: str, code: int, next_: list[object]) -> None:
    life = Life(pod(restartPolicy=policy))
    life.settle()
    life.exit("c", code)
    assert life.settle() == next_


def test_crashes_in_a_row_are_followed_by_longer_and_longer_waits() -> None:
    life, waits = Life(pod()), []
    for _ in range(7):
        life.settle()
        life.exit("c", 1)
        waits.append(life.sleep() if isinstance(life.state.records["c"].state, Waiting) else 0.0)
    assert waits == [0, 10, 20, 40, 80, 160, 300]
    assert life.state.records["c"].restarts == 6


def test_back_off_times_are_divided_by_the_scenarios_speed() -> None:
    life = Life(pod(), speed=10)
    for _ in range(2):
        life.settle()
        life.exit("c", 1)
    state = life.state.records["c"].state
    assert isinstance(state, Waiting)
    assert state.reason == "CrashLoopBackOff"
    assert "back-off 1s restarting failed container=c pod=p_ns(u1)" in state.message


def test_a_long_run_makes_the_back_off_start_over() -> None:
    life = Life(pod())
    for _ in range(3):
        life.settle()
        life.exit("c", 1)
        life.now += 40
    life.settle()
    life.now += 600
    life.exit("c", 1)
    assert life.settle() == [Start("c")]


READINESS = {"httpGet": {"port": 80}, "initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": 2}


def test_a_probe_runs_after_its_delay_and_then_at_its_period() -> None:
    life = Life(pod(container(readinessProbe=READINESS)))
    life.settle()
    assert life.sleep() == 5
    assert life.settle() == [RunProbe("c", "readiness")]
    life.answer("c", "readiness", success=True)
    assert life.state.records["c"].is_ready
    assert life.sleep() == 2


def test_a_probe_that_is_on_its_way_is_not_asked_again() -> None:
    life = Life(pod(container(readinessProbe=READINESS)))
    life.settle()
    life.sleep()
    life.settle()
    life.now += 60
    assert life.settle() == []


def test_a_container_turns_unready_after_as_many_failures_as_it_may_have() -> None:
    life, ready = Life(pod(container(readinessProbe=READINESS))), []
    life.settle()
    for success in (True, False, False, True):
        life.sleep()
        life.settle()
        life.answer("c", "readiness", success=success)
        ready.append(life.state.records["c"].is_ready)
    assert ready == [True, True, False, True]


def test_a_failing_liveness_probe_stops_the_container_with_its_grace_and_it_starts_again() -> None:
    liveness = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
    life = Life(pod(container(livenessProbe=liveness), terminationGracePeriodSeconds=7))
    life.settle()
    life.answer("c", "liveness", success=False)
    why = "Container c failed liveness probe, will be restarted"
    assert life.settle() == [Stop("c", START + 7, why)]
    assert life.sleep() == 7
    assert life.settle() == [Kill("c")]
    assert life.settle() == []
    life.exit("c", 137)
    assert life.settle() == [Start("c"), RunProbe("c", "liveness")]


def test_the_other_probes_wait_for_the_startup_probe() -> None:
    always = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
    life = Life(pod(container(startupProbe={**always, "failureThreshold": 3}, livenessProbe=always)))
    assert RunProbe("c", "startup") in life.settle()
    assert RunProbe("c", "liveness") not in life.done
    assert not life.state.records["c"].is_ready
    life.answer("c", "startup", success=True)
    assert life.settle() == [RunProbe("c", "liveness")]
    assert life.state.records["c"].is_ready


def test_a_startup_probe_that_never_passes_ends_the_container() -> None:
    startup = {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 2}
    life = Life(pod(container(startupProbe=startup)))
    life.settle()
    life.answer("c", "startup", success=False)
    life.sleep()
    life.settle()
    life.answer("c", "startup", success=False)
    stop = life.settle()[0]
    assert isinstance(stop, Stop)
    assert "failed startup probe" in stop.why


def test_a_deleted_pod_is_stopped_gracefully_then_killed_then_removed() -> None:
    life = Life(pod(container("a"), container("b")))
    life.settle()
    life.pod = terminating(life.pod, START + 30)
    assert life.settle() == [
        Stop("a", START + 30, "Stopping container a"),
        Stop("b", START + 30, "Stopping container b"),
    ]
    life.exit("a", 0)
    assert life.settle() == []
    assert life.sleep() == 30
    assert life.settle() == [Kill("b")]
    life.exit("b", 137)
    assert life.settle() == [Remove()]


def test_a_container_that_a_probe_has_ended_already_gets_no_more_time_when_its_pod_is_deleted() -> None:
    liveness = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
    life = Life(pod(container("a", livenessProbe=liveness), container("b"), terminationGracePeriodSeconds=7))
    life.settle()
    life.answer("a", "liveness", success=False)
    life.settle()
    life.pod = terminating(life.pod, START + 30)
    assert life.settle() == [Stop("b", START + 30, "Stopping container b")]
    assert life.sleep() == 7
    assert life.settle() == [Kill("a")]
    assert life.sleep() == 23
    assert life.settle() == [Kill("b")]
    assert decide(life.pod, life.state, life.now) == Plan()


def test_an_image_that_is_changed_in_place_is_pulled_before_the_next_start() -> None:
    life = Life(pod())
    life.settle()
    life.state = life.state.shown(life.pod, life.pod)
    changed = pod(container(image="app:2"))
    life.state, life.pod = life.state.shown(life.pod, changed), changed
    assert life.settle() == []
    life.exit("c", 1)
    assert life.settle() == [Pull("c"), Start("c")]


def test_a_second_deletion_may_shorten_the_grace() -> None:
    life = Life(pod())
    life.settle()
    life.pod = terminating(life.pod, START + 300)
    life.settle()
    life.pod = terminating(life.pod, START + 1)
    assert life.sleep() == 1
    assert life.settle() == [Kill("c")]


def test_a_pod_that_is_deleted_while_it_starts_is_not_started() -> None:
    assert Life(terminating(pod(), START + 30)).settle() == [Remove()]


def test_a_container_that_ends_while_its_pod_terminates_is_not_started_again() -> None:
    life = Life(pod())
    life.settle()
    life.pod = terminating(life.pod, START + 30)
    life.settle()
    life.exit("c", 1)
    assert isinstance(life.state.records["c"].state, Ended)
    assert life.settle() == [Remove()]


def test_what_is_left_of_a_pod_whose_object_or_node_is_gone_is_killed_at_once() -> None:
    life = Life(pod())
    life.settle()
    life.state = dataclasses.replace(life.state, is_gone=True)
    assert life.settle() == [Kill("c")]
    life.exit("c", 137)
    assert life.settle()[-1] == Remove()


def test_a_finished_pod_is_released_once_and_then_left_alone_until_it_is_deleted() -> None:
    life = Life(pod(restartPolicy="Never"))
    life.settle()
    life.exit("c", 0)
    assert life.settle() == [Release()]
    assert decide(life.pod, life.state, life.now) == Plan()
    life.pod = terminating(life.pod, START)
    assert life.settle() == [Remove()]


def test_containers_that_a_former_kubelet_ran_are_lost_and_start_again_by_the_policy() -> None:
    told = {"containerStatuses": [{"name": "c", "restartCount": 2, "state": {"running": {"startedAt": "x"}}}]}
    life = Life(pod(status=told))
    assert life.settle() == [Prepare(), Pull("c"), Start("c")]
    assert life.state.records["c"].restarts == 3
    assert Life(pod(status=told, restartPolicy="Never")).settle() == [Release()]
