from __future__ import annotations

from dataclasses import replace

from cluster.faults.fault import STAGE_ONLY, Fault, Named, Phase
from cluster.faults.outcome import CONTROL, Outcome
from cluster.faults.page import row, summary
from cluster.faults.results import Results, Series

SEEN = Fault("seen", "It is broken.", Phase.DEPLOY, verdict=Named("pod-created", "quota"))
SILENT = replace(SEEN, name="silent", verdict=Named("pod-created", STAGE_ONLY))
WRONG, NEVER = replace(SEEN, name="wrong"), replace(SEEN, name="never")
LINT = replace(SEEN, name="lint", verdict=None, lint="rule", not_rehearsed="nothing enforces it")
FAULTS = (SEEN, SILENT, WRONG, NEVER, LINT)


def outcome(name: str, problem: str = "") -> Outcome:
    return Outcome(name, "deploy", "autoscaling-failed", "pod-created", "quota", not problem, 4.0, problem)


def test_the_summary_counts_what_was_run_of_what_there_is_and_since_when() -> None:
    results = Results(
        (
            Series("2026-01-01", {"Ray": "1"}, (outcome("seen"), outcome("silent"), outcome(CONTROL))),
            Series(
                "2026-02-02", {"Ray": "2"}, (outcome("wrong", "names nothing"), outcome(CONTROL, "the verdict is void"))
            ),
        )
    )
    assert summary(FAULTS, results).splitlines()[0] == (
        "3 of 5 faults have been run, the oldest on 2026-01-01, with Ray 1; Ray 2: 1 named, of 1 only the stage, 1 wrong. "
        "1 cannot be shown in the rehearsal. 2 runs with nothing broken, 1 of them false alarms or without a verdict."
    )


def test_a_fault_of_which_only_the_stage_is_named_is_never_called_named() -> None:
    assert "| `pod-created`: stage only | stage only |" in row(SILENT, outcome("silent"))
    assert "| `pod-created`: quota | named |" in row(SEEN, outcome("seen"))
    assert "| **wrong**: names nothing |" in row(WRONG, outcome("wrong", "names nothing"))
    assert "| not run yet |" in row(NEVER, None)
    assert "| not shown: nothing enforces it |" in row(LINT, None)
