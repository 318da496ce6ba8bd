"""What a run says of a target that does not settle, and of an interrupt before its load."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from loadtest.client.connection import Endpoint
from loadtest.observers import Observation, ObserverError, Sample, ScalingRule
from loadtest.observers.watch import Watch
from tests.loadtest.observers.test_watch import Scripted
from tests.support.load_profiles import closed
from tests.support.ports import free_port

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")  # the other tests of this process keep their sockets
    from loadtest import run


@pytest.fixture
def handler_kept() -> Iterator[None]:
    """Gevent gives SIGINT back to the system, and pytest wants it."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def present(count: int, *, rule: ScalingRule | None) -> Observation:
    return Observation(samples=(Sample("replicas_present", 0.0, count),), rule=rule)


@pytest.mark.parametrize(
    ("serve", "kubernetes", "said"),
    [
        (
            ["gone", present(3, rule=ScalingRule(1, 4, 6.0))],
            ["gone"] * 2,
            "after 60 s 3 replicas were there instead of 1",
        ),
        ([present(3, rule=ScalingRule(0, 4, 6.0))], ["gone"], "after 60 s 3 replicas were there instead of 1"),
        (["gone", present(3, rule=None)], [Observation()] * 2, "the deployment has no autoscaling_config"),
        (["no answer"], [Observation()], "the observers could not see the target: no answer"),
        ([present(1, rule=ScalingRule(1, 4, 6.0)), "lost"], ["b", "c"], "the observers could not see the target: c"),
    ],
)
def test_a_target_that_did_not_settle_is_told_as_it_was_at_the_last_look(
    serve: list[Observation | ObserverError | str], kubernetes: list[Observation | ObserverError | str], said: str
) -> None:
    watch = Watch([Scripted("serve", *serve), Scripted("kubernetes", *kubernetes)], lambda: 61.0)
    for _ in serve:
        watch.look()
    assert run._unsettled(watch.so_far(), 60.0).startswith(said)


@pytest.mark.usefixtures("handler_kept")
@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupt_before_the_load_is_no_measurement_and_blames_nobody(workers: int) -> None:
    profile = closed(sending={"timeout_s": 20, "model": "m"})  # a model that is named is not asked for
    serve = Scripted("serve", present(3, rule=ScalingRule(1, 4, 6.0)))
    conductor = run.Conductor(
        profile, Endpoint("127.0.0.1", 9, False, ""), [serve],
        workers=run.Workers(workers, port=free_port()), tell=lambda _: None,
    )  # fmt: skip
    conductor.interrupt()
    with pytest.raises(KeyboardInterrupt):
        conductor.run(verify=True)
    assert conductor._troubles == []
