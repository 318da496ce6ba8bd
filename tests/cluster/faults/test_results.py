from __future__ import annotations

from pathlib import Path

from cluster.faults.outcome import CONTROL, Outcome
from cluster.faults.results import Results, Series, read, write


def outcome(name: str, *, right: bool = True) -> Outcome:
    return Outcome(name, "deploy", "autoscaling-failed", "pod-created", "why", right, 1.0)


OLD = Series("2026-01-01", {"Ray": "1"}, (outcome("a", right=False), outcome("b"), outcome(CONTROL)))
NEW = Series("2026-02-02", {"Ray": "2"}, (outcome("a"), outcome(CONTROL, right=False)))


def test_a_newer_outcome_takes_the_place_of_the_older_and_the_rest_keep_date_and_versions() -> None:
    joined = Results((OLD,)).joined(NEW)
    assert [(s.date, s.versions["Ray"], [o.name for o in s.outcomes]) for s in joined.series] == [
        ("2026-01-01", "1", ["b"]),
        ("2026-02-02", "2", ["a", CONTROL]),
    ]
    assert joined.faults["a"].right


def test_controls_are_of_the_newest_versions_that_were_tried_with_nothing_broken() -> None:
    assert [control.right for control in Results((OLD,)).joined(NEW).controls] == [False]
    faults_only = Series("2026-03-03", {"Ray": "3"}, (outcome("a"),))
    assert [control.right for control in Results((OLD,)).joined(faults_only).controls] == [True]


def test_a_series_of_which_nothing_is_left_goes() -> None:
    once = Series("2026-01-01", {}, (outcome("a"),))
    assert [series.date for series in Results((once,)).joined(NEW).series] == ["2026-02-02"]


def test_results_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert read(path) == Results()
    write(Results((OLD, NEW)), path)
    assert read(path) == Results((OLD, NEW))
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
