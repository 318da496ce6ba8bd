"""The order of things around a lab, on a bench that keeps a diary."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from cluster.errors import NotReady
from cluster.explain.snapshot import Snapshot
from cluster.faults.edit import GONE, Edit
from cluster.faults.fault import Fault, Named, Phase
from cluster.faults.rehearse import COMES_UP, Bench, rehearse, try_controls, try_fault
from cluster.objects import Manifest

POD = Manifest({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"tolerations": [1]}})
BROKEN = {
    "verdict": "autoscaling-failed",
    "broken_link": {"stage": "pod-created", "reason": "exceeded quota"},
}
WHOLE = {"verdict": "pass", "broken_link": None}
WHOLE_POD = "lay down [{'tolerations': [1]}]"


@dataclass
class Diary:
    """A bench whose verdicts are given."""

    verdicts: list[Mapping[str, Any]]
    entries: list[str] = field(default_factory=list)
    clears: bool = True
    mends: bool | NotReady = False
    desired: Sequence[Manifest] = (POD,)

    def lay_down(self, manifests: Sequence[Manifest]) -> None:
        self.entries.append(f"lay down {[dict(m.spec) for m in manifests]}")

    @contextlib.contextmanager
    def without(self, names: Sequence[str]) -> Iterator[None]:
        self.entries += [f"stop {name}" for name in names]
        yield
        self.entries += [f"mend {name}" for name in names]

    def verdict(self, arguments: Sequence[str]) -> Mapping[str, Any]:
        self.entries.append(arguments[0])
        return self.verdicts.pop(0)

    def snapshot(self) -> Snapshot:
        return Snapshot.of(datetime.now(timezone.utc), [])

    def mend(self) -> bool:
        self.entries.append("mend all")
        if isinstance(self.mends, NotReady):
            raise self.mends
        return self.mends

    def clear(self) -> None:
        self.entries.append("clear")
        if not self.clears:
            raise NotReady("a pod stays")


def fault(**fields: Any) -> Fault:
    base = Fault("f", "It is broken.", Phase.DEPLOY, verdict=Named("pod-created", "quota"))
    return replace(base, **{"edits": (Edit("Pod", "a", "/spec/tolerations", GONE),), **fields})


def tried(faults: Sequence[Fault], bench: Diary) -> list[tuple[str, bool]]:
    opened: list[Mapping[str, Any]] = []

    @contextlib.contextmanager
    def open_bench(scenario: Mapping[str, Any]) -> Iterator[Bench]:
        opened.append(scenario)
        bench.entries.append(f"lab {dict(scenario)}")
        yield bench

    def seen(fault: Fault, _: Bench) -> None:
        bench.entries.append(f"see {fault.name}")

    return [(o.name, o.right) for o in rehearse(faults, open_bench, tell=lambda _: None, seen=seen)]


def test_a_fault_of_the_deploy_is_laid_down_broken_seen_and_cleared() -> None:
    bench = Diary([BROKEN])
    assert tried([fault()], bench) == [("f", True)]
    assert bench.entries == ["lab {}", "lay down [{}]", COMES_UP[0], "see f", "clear"]


def test_a_component_is_stopped_before_the_deploy_or_only_under_load() -> None:
    early = Diary([BROKEN])
    assert tried([fault(edits=(), without=("karpenter",))], early) == [("f", True)]
    assert early.entries == ["lab {}", "stop karpenter", WHOLE_POD, "watch", "see f", "mend karpenter", "clear"]
    late = Diary([WHOLE, BROKEN])
    assert tried([fault(edits=(), without=("kwok",), phase=Phase.SCALE_OUT)], late) == [("f", True)]
    assert late.entries == [
        "lab {}", WHOLE_POD, "watch", WHOLE_POD, "stop kwok", "verify", "see f", "mend kwok", "mend all", "clear",
    ]  # fmt: skip


def test_faults_in_place_share_a_chatbot_that_can_be_mended() -> None:
    hung = fault(edits=(), without=("kwok",), phase=Phase.SCALE_OUT)
    bench = Diary([WHOLE, BROKEN, BROKEN, BROKEN], mends=True)
    assert tried([fault(name="h"), hung, replace(hung, name="g")], bench) == [("f", True), ("g", True), ("h", True)]
    assert [entry for entry in bench.entries if entry in ("watch", "verify", "mend all", "clear")] == [
        "watch", "verify", "mend all", "verify", "mend all", "clear", "watch", "clear",
    ]  # fmt: skip


def test_a_chatbot_that_cannot_be_mended_is_cleared_and_the_series_goes_on() -> None:
    hung = fault(edits=(), without=("kwok",), phase=Phase.SCALE_OUT)
    bench = Diary([WHOLE, BROKEN, WHOLE, BROKEN], mends=NotReady("the API server is gone"))
    assert tried([hung, replace(hung, name="g")], bench) == [("f", True), ("g", True)]
    assert [entry for entry in bench.entries if entry in ("watch", "verify", "mend all", "clear")] == [
        "watch", "verify", "mend all", "clear",
    ] * 2  # fmt: skip


def test_what_breaks_before_the_load_is_judged_as_that() -> None:
    assert tried([fault(phase=Phase.SCALE_OUT, verdict=Named("node-launched", "x"))], Diary([BROKEN])) == [("f", False)]


def test_what_is_named_before_a_fault_in_place_is_there_is_a_false_alarm_and_not_the_fault() -> None:
    hung = fault(edits=(), without=("kwok",), phase=Phase.SCALE_OUT)
    bench = Diary([BROKEN])
    outcome = try_fault(bench, hung, lambda *_: None)
    assert (outcome.right, outcome.verdict, outcome.stage) == (False, "", "")
    assert outcome.problem == (
        "False alarm: before anything was broken, the verdict names pod-created (exceeded quota)."
    )
    assert bench.entries == [WHOLE_POD, "watch"]


def test_faults_of_one_scenario_share_a_lab_and_what_stays_behind_ends_it() -> None:
    dark = {"absent": ["kwok"]}
    faults = [fault(), fault(name="g", scenario=dark), fault(name="h")]
    bench = Diary([BROKEN] * 3)
    tried(faults, bench)
    assert [entry for entry in bench.entries if entry.startswith("lab")] == ["lab {}", f"lab {dark}"]
    stuck = Diary([BROKEN] * 3, clears=False)
    tried(faults, stuck)
    assert [entry for entry in stuck.entries if entry.startswith("lab")] == ["lab {}", "lab {}", f"lab {dark}"]


def test_an_edit_that_no_longer_fits_the_manifests_is_wrong_and_not_the_end() -> None:
    stale = fault(edits=(Edit("Pod", "b", "/spec/x", 1),))
    assert tried([stale, fault(name="g")], Diary([BROKEN])) == [("f", False), ("g", True)]


def controls(count: int, bench: Diary) -> list[bool]:
    @contextlib.contextmanager
    def open_bench(_: Mapping[str, Any]) -> Iterator[Bench]:
        bench.entries.append("lab")
        yield bench

    return [outcome.right for outcome in try_controls(count, open_bench, tell=lambda _: None)]


def test_a_control_is_watched_until_it_has_scaled_in_and_anything_named_is_a_false_alarm() -> None:
    bench = Diary([WHOLE, WHOLE, WHOLE, BROKEN, BROKEN])
    assert controls(3, bench) == [True, False, False]  # the last does not even come up, so no load is put on it
    assert bench.entries.count("watch") == 3
    assert bench.entries.count("verify") == 2
    assert bench.entries.count("clear") == 3
    assert bench.entries.count("lab") == 1


def test_what_a_control_leaves_behind_gets_the_next_one_a_lab_of_its_own() -> None:
    bench = Diary([WHOLE] * 4, clears=False)
    assert controls(2, bench) == [True, True]
    assert bench.entries.count("lab") == 2
