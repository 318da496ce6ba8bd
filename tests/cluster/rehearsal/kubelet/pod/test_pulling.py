from __future__ import annotations

from cluster.rehearsal.kubelet.pod.back_off import BackOff
from cluster.rehearsal.kubelet.pod.pulling import Arrival, NotFound, arrived, pull
from cluster.rehearsal.kubelet.pod.state import Record, Waiting

NEW = Record(Waiting("ContainerCreating"))


def answering(at: float, pull_s: float, *, is_first: bool) -> tuple[Record, list[str]]:
    record, told = pull(NEW, "app:1", lambda: Arrival(at, pull_s, is_first), BackOff(), now=100)
    return record, [event.reason for event in told] + [arrived(record, "app:1").message]


def missing() -> Arrival:
    raise NotFound("app:1: not found")


def never() -> Arrival:
    raise AssertionError("it was asked while it is backed off from")


def test_an_image_on_its_way_is_waited_for() -> None:
    record, said = answering(113, 13, is_first=True)
    assert record.pulled_at == 113
    assert said == ["Pulling", 'Successfully pulled image "app:1" in 13s (simulated by the scenario)']


def test_an_image_that_somebody_else_has_asked_for_is_waited_for_as_well() -> None:
    assert answering(105, 13, is_first=False)[1][0] == "Pulling"


def test_an_image_that_is_there_is_not_pulled() -> None:
    assert answering(90, 13, is_first=False)[1] == ['Container image "app:1" already present on machine']


def test_a_missing_image_is_asked_for_again_less_and_less_often() -> None:
    record, seen, now = NEW, [], 0.0
    for _ in range(6):
        record, told = pull(record, "app:1", missing if now >= record.pull_retry_at else never, BackOff(), now)
        assert isinstance(record.state, Waiting)
        seen.append((now, record.state.reason, [event.reason for event in told]))
        now = record.not_before
    assert [(at, reason) for at, reason, _ in seen] == [
        (0.0, "ErrImagePull"),
        (2.5, "ImagePullBackOff"),
        (10.0, "ErrImagePull"),
        (15.0, "ImagePullBackOff"),
        (30.0, "ErrImagePull"),
        (40.0, "ImagePullBackOff"),
    ]
    assert seen[0][2] == ["Pulling", "Failed", "Failed"]
    assert seen[1][2] == ["BackOff", "Failed"]
