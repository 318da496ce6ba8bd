"""Try faults one after the other on labs that stand, each with nothing left of the one before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cluster.errors import ClusterError, NotReady
from cluster.explain.snapshot import Snapshot
from cluster.faults.edit import apply
from cluster.faults.fault import Fault, Phase
from cluster.faults.outcome import CONTROL, Outcome, judge, judge_control, unjudged
from cluster.objects import Manifest, mapping, text


class Bench(Protocol):
    """A lab that stands, as a place to try faults."""

    @property
    def desired(self) -> Sequence[Manifest]:
        """The manifests as they are, with nothing broken."""

    def lay_down(self, manifests: Sequence[Manifest]) -> None:
        """Apply all of them, whatever lint or readiness say. Raises ClusterError where the API server refuses one."""

    def without(self, names: Sequence[str]) -> AbstractContextManager[None]:
        """Inside, these components do not run, and these processes of pods hang.

        Raises NotReady where there is none of that name.
        """

    def verdict(self, arguments: Sequence[str]) -> Mapping[str, Any]:
        """The verdict document of `python -m loadtest` with these arguments. Raises NotReady where there is none."""

    def snapshot(self) -> Snapshot:
        """What explain would look at now."""

    def mend(self) -> bool:
        """Make a chatbot that was broken in place whole again; whether it is as after a deploy soon enough."""

    def clear(self) -> None:
        """Remove everything that was laid down. Raises ClusterError with what does not go."""


# Opens a lab in which these fields of the scenario differ; it ends with the context.
OpenBench = Callable[[Mapping[str, Any]], AbstractContextManager[Bench]]
Seen = Callable[[Fault, Bench], None]  # is shown the lab while the fault is in it

COMES_UP = ("watch", "--timeout", "300")
_LOAD = {
    Phase.SCALE_OUT: ("verify", "rehearsal-fault"),
    Phase.SCALE_IN: ("verify", "rehearsal-fault-scale-in"),
}


def rehearse(
    faults: Sequence[Fault], open_bench: OpenBench, *, tell: Callable[[str], None], seen: Seen
) -> Iterator[Outcome]:
    """The outcome of each; faults of one scenario share a lab, and those in place a chatbot that stands in it."""
    waiting = sorted(faults, key=lambda fault: (bool(fault.scenario), str(dict(fault.scenario)), not fault.in_place))
    while waiting:
        with open_bench(waiting[0].scenario) as bench:
            yield from _on_one_lab(waiting, bench, tell=tell, seen=seen)


def _on_one_lab(waiting: list[Fault], bench: Bench, *, tell: Callable[[str], None], seen: Seen) -> Iterator[Outcome]:
    """Take from `waiting` what its first scenario is for; end early where something stays behind."""
    scenario, stands = waiting[0].scenario, False
    while waiting and waiting[0].scenario == scenario:
        if stands and not waiting[0].in_place and not _cleared(bench, tell):
            return
        fault = waiting.pop(0)
        tell(f"{fault.name}: {fault.sentence}")
        yield try_fault(bench, fault, seen, stands=stands and fault.in_place)
        stands = fault.in_place and _mended(bench, tell)
        if not stands and not _cleared(bench, tell):
            return


def try_fault(bench: Bench, fault: Fault, seen: Seen, *, stands: bool = False) -> Outcome:
    """Break it, ask for the verdict, and compare; the lab is left broken. `stands`: a whole chatbot is there."""
    started_s = time.monotonic()
    try:
        verdict = _under(bench, fault, seen, stands=stands)
        return judge(fault, verdict, time.monotonic() - started_s)
    except (ClusterError, ValueError) as error:
        return unjudged(fault.name, fault.phase.value, str(error), time.monotonic() - started_s)


def try_controls(count: int, open_bench: OpenBench, *, tell: Callable[[str], None]) -> Iterator[Outcome]:
    """The whole chain with nothing broken, `count` times: whatever is named is a false alarm."""
    left = count
    while left:
        with open_bench({}) as bench:
            for outcome in _controls_on_one_lab(left, bench, tell):
                left -= 1
                yield outcome


def _controls_on_one_lab(count: int, bench: Bench, tell: Callable[[str], None]) -> Iterator[Outcome]:
    """As many as the lab is fit for: early where something stays behind."""
    for more in reversed(range(count)):
        tell(f"{CONTROL}, watched until it has scaled in again, {more} more to come")
        yield _control(bench)
        if not _cleared(bench, tell):
            return


def _control(bench: Bench) -> Outcome:
    started_s, phase = time.monotonic(), Phase.SCALE_IN.value
    try:
        bench.lay_down(bench.desired)
        verdict = bench.verdict(COMES_UP)
        if not verdict.get("broken_link"):
            verdict = bench.verdict(_LOAD[Phase.SCALE_IN])
        return judge_control(phase, verdict, time.monotonic() - started_s)
    except ClusterError as error:
        return unjudged(CONTROL, phase, str(error), time.monotonic() - started_s)


def _under(bench: Bench, fault: Fault, seen: Seen, *, stands: bool) -> Mapping[str, Any]:
    manifests = apply(fault.edits, bench.desired)
    if fault.phase is Phase.DEPLOY:
        with bench.without(fault.without):
            bench.lay_down(manifests)
            verdict = bench.verdict(COMES_UP)
            seen(fault, bench)
            return verdict
    if not stands:
        bench.lay_down(bench.desired if fault.in_place else manifests)
        before = bench.verdict(COMES_UP)
        if link := mapping(before.get("broken_link")):
            if fault.in_place:
                raise NotReady(
                    f"False alarm: before anything was broken, the verdict names {text(link.get('stage'))} "
                    f"({text(link.get('reason'))})."
                )
            return before  # it shows already: judged as what it is
    if fault.in_place:
        bench.lay_down(manifests)
    with bench.without(fault.without):
        verdict = bench.verdict(_LOAD[fault.phase])
        seen(fault, bench)
        return verdict


def _mended(bench: Bench, tell: Callable[[str], None]) -> bool:
    try:
        return bench.mend()
    except ClusterError as error:
        tell(f"The chatbot is not mended, so the next fault gets one of its own: {error}")
        return False


def _cleared(bench: Bench, tell: Callable[[str], None]) -> bool:
    try:
        bench.clear()
    except ClusterError as error:
        tell(f"What was laid down does not go, so the next run gets a lab of its own: {error}")
        return False
    return True
