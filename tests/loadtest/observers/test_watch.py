"""The watch goes on when one observer does not answer."""

from __future__ import annotations

import gevent
import pytest

from loadtest.observers import Event, Observation, ObserverError, Sample, ScalingRule, TargetSilent
from loadtest.observers.watch import Watch


class Scripted:
    """An observer that plays back what it is given."""

    stages = frozenset({"replica-running"})
    interval_s = 0.5

    def __init__(self, name: str, *looks: Observation | ObserverError | str) -> None:
        self.name = name
        self.looks = iter(looks)

    def look(self, now_s: float) -> Observation:
        look = next(self.looks)
        if isinstance(look, ObserverError):
            raise look
        if isinstance(look, str):
            raise ObserverError(look)
        return look


def observation(at_s: float, value: float) -> Observation:
    return Observation(
        events=(Event("replica-running", at_s, "test", "replica:a"),), samples=(Sample("n", at_s, value),),
        evidence=(f"at {at_s}",), rule=ScalingRule(1, 2, 1.0), replicas=("a",),
    )  # fmt: skip


def test_looks_are_kept_and_failures_counted() -> None:
    watch = Watch(
        [Scripted("one", observation(1, 5), "gone", observation(3, 6)), Scripted("two", "x", "x", "x")], lambda: 4.0
    )
    for _ in range(3):
        watch.look()
    seen = watch.so_far()
    assert [event.at_s for event in seen.events] == [1, 3]
    assert seen.failed_looks == {"gone": 1, "x": 3}
    assert seen.now.evidence == ("at 3", "x")
    assert seen.last("n") == 6
    assert seen.last("n", before_s=2) == 5
    assert seen.last("other") is None
    assert seen.until_s == 4.0
    assert watch.replicas() == ("a",)


def test_the_evidence_of_the_loads_end_is_kept_apart() -> None:
    watch = Watch([Scripted("one", observation(1, 1), observation(2, 2))], lambda: 9.0)
    watch.load_ended()
    watch.look()
    assert watch.so_far().under_load.evidence == ("at 1",)
    assert watch.so_far().now.evidence == ("at 2",)


def test_a_thing_that_moves_stands_only_where_it_stands_now() -> None:
    moves = [Observation(links=(("pod:a", f"nodeclaim:{name}"), ("pod:a", "node:n"))) for name in ("first", "second")]
    watch = Watch([Scripted("one", *moves)], lambda: 0.0)
    watch.look()
    watch.look()
    assert watch.so_far().links == {("pod:a", "nodeclaim:second"), ("pod:a", "node:n")}


def test_an_observer_that_breaks_is_told_and_does_not_look_like_a_standstill() -> None:
    class Broken(Scripted):
        def look(self, now_s: float) -> Observation:
            raise KeyError("status")

    watch = Watch([Broken("one")], lambda: 0.0)
    watch.look()
    assert watch.so_far().failed_looks == {"the observer one failed: KeyError: 'status'": 1}


def test_two_looks_of_one_observer_never_overlap() -> None:
    class Slow(Scripted):
        inside = 0

        def look(self, now_s: float) -> Observation:
            self.inside += 1
            assert self.inside == 1
            gevent.sleep(0)
            self.inside -= 1
            return Observation()

    watch = Watch([Slow("one")], lambda: 0.0)
    gevent.joinall([gevent.spawn(watch.look), gevent.spawn(watch.load_ended)], raise_error=True)
    assert watch.so_far().failed_looks == {}


@pytest.mark.parametrize(
    ("looks", "blind"),
    [
        (("gone", "closed"), "closed"),
        (("gone", Observation()), ""),
        ((TargetSilent("Serve is silent"),), ""),
        ((TargetSilent("Serve is silent"), Observation()), ""),
        ((Observation(), Observation()), ""),
    ],
)
def test_the_watch_is_blind_only_where_nobody_sees_or_learns_anything(
    looks: tuple[Observation | ObserverError | str, ...], blind: str
) -> None:
    watch = Watch([Scripted(str(number), look) for number, look in enumerate(looks)], lambda: 0.0)
    watch.load_ended()
    assert watch.so_far().under_load.blind == blind


def test_a_watch_that_was_blind_when_the_load_ended_and_sees_again_remembers_both() -> None:
    watch = Watch([Scripted("one", "gone", observation(2, 2))], lambda: 9.0)
    watch.load_ended()
    watch.look()
    assert (watch.so_far().under_load.blind, watch.so_far().now.blind) == ("gone", "")
