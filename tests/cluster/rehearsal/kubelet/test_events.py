from __future__ import annotations

import queue
from collections.abc import Mapping
from typing import Any

from cluster.rehearsal.kubelet.events import Happening, Recorder
from cluster.rehearsal.kubelet.pod.pulling import Told
from tests.support.kubelet_pods import START, pod


class Api:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.created: list[Mapping[str, Any]] = []
        self.changed: list[tuple[str, Mapping[str, Any]]] = []
        self.has_expired = False

    def create_event(self, event: Mapping[str, Any]) -> None:
        self.created.append(event)

    def patch_event(self, name: str, namespace: str, change: Mapping[str, Any]) -> bool:
        if self.has_expired:
            self.has_expired = False
            return False
        self.changed.append((f"{namespace}/{name}", change))
        return True


def happening(message: str, at: float = START, *, in_container: bool = True) -> Happening:
    made = pod()
    container = made.containers[0] if in_container else None
    return Happening(made, container, Told("Warning", "BackOff", message), at)


def test_an_event_names_its_pod_its_container_and_its_node() -> None:
    api = Api()
    Recorder(api, lambda: START).tell(happening("again"))
    event = api.created[0]
    assert (event["reason"], event["message"], event["type"]) == ("BackOff", "again", "Warning")
    assert event["involvedObject"]["uid"] == "u1"
    assert event["involvedObject"]["fieldPath"] == "spec.containers{c}"
    assert event["source"] == {"component": "kubelet", "host": "n"}


def test_what_happens_again_raises_the_count_of_the_event_that_told_it() -> None:
    api = Api()
    recorder = Recorder(api, lambda: START)
    for at in (START, START + 5, START + 9):
        recorder.tell(happening("again", at))
    name = f"ns/{api.created[0]['metadata']['name']}"
    assert [(changed, change["count"]) for changed, change in api.changed] == [(name, 2), (name, 3)]
    assert api.changed[-1][1]["lastTimestamp"] == "2027-01-15T08:00:09Z"


def test_other_words_or_another_container_make_another_event() -> None:
    api = Api()
    recorder = Recorder(api, lambda: START)
    for one in (happening("first"), happening("second"), happening("first", in_container=False)):
        recorder.tell(one)
    assert len({event["metadata"]["name"] for event in api.created}) == 3


def test_what_happens_again_when_its_event_has_expired_is_told_anew_and_counted_from_one() -> None:
    api = Api()
    recorder = Recorder(api, lambda: START)
    recorder.tell(happening("again"))
    api.has_expired = True
    for at in (START + 4000, START + 4001):
        recorder.tell(happening("again", at))
    first, second = api.created
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert second["count"] == 1
    assert [(name, change["count"]) for name, change in api.changed] == [(f"ns/{second['metadata']['name']}", 2)]


def test_an_event_that_nobody_thought_of_is_lost_and_the_next_one_is_not() -> None:
    created: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()

    class Stumbling(Api):
        def create_event(self, event: Mapping[str, Any]) -> None:
            if event["message"] == "odd":
                raise ValueError("it does not fit")
            created.put(event)

    recorder = Recorder(Stumbling(), lambda: START)
    recorder.start()
    for message in ("odd", "even"):
        recorder.tell_soon(pod(), Told("Warning", "Failed", message))
    assert created.get(timeout=60)["message"] == "even"
