"""The reference page of the faults, made from the catalog and from the committed outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cluster.faults.catalog import FAULTS
from cluster.faults.fault import Fault, Phase
from cluster.faults.outcome import Outcome
from cluster.faults.results import Results, Series, read

NAMED, STAGE = "named", "stage only"

_HEAD = """# Seeded faults

{count} ways in which the chain from load to a new replica breaks, each one change to a manifest, a component or a node of the
[rehearsal](../rehearsal.md), and who names it: [lint](lint-rules.md) beforehand, or the verdict of the load test, by the
stage that broke and its reason. `make rehearse-faults` runs them; `python -m cluster rehearse-faults NAME` runs one.

A fault is *named* when the verdict's `broken_link.stage` is the one expected and its reason holds the expected words,
which are of a cause that was seen, never of the sentence that a verdict makes of any missing link of that stage. Where nobody can
see the cause, the verdict names the *stage only*. Lint's part is held by a test over the manifests as they stand.

"""


def page() -> str:
    """The Markdown text of docs/reference/faults.md, without its note."""
    results = read()
    seen = results.faults
    parts = [_HEAD.format(count=len(FAULTS)), summary(FAULTS, results)]
    for phase in Phase:
        parts.append(f"## {phase.value[0].upper()}{phase.value[1:]}\n\n")
        parts.append("| fault | what is wrong | lint | the verdict has to name | in the rehearsal | s |\n")
        parts.append("| --- | --- | --- | --- | --- | --- |\n")
        parts += [row(fault, seen.get(fault.name)) for fault in FAULTS if fault.phase is phase]
        parts.append("\n")
    parts += _reasons([outcome for outcome in seen.values() if outcome.stage])
    return "".join(parts)


def summary(faults: Sequence[Fault], results: Results) -> str:
    """How much of it has been tried, when, and what came of it."""
    if not results.series:
        return "No run has been committed yet.\n\n"
    told = Counter(_told(fault, results.faults[fault.name]) for fault in faults if fault.name in results.faults)
    run, named, stage_only = told.total(), told[NAMED], told[STAGE]
    impossible = sum(bool(fault.not_rehearsed) for fault in faults)
    alarms = sum(not outcome.right for outcome in results.controls)
    oldest = min(results.series, key=lambda series: series.date)
    versions = "; ".join(sorted({_versions(series) for series in results.series}))
    return (
        f"{run} of {len(faults)} faults have been run, the oldest on {oldest.date}, with {versions}: {named} named, of "
        f"{stage_only} only the stage, {run - named - stage_only} wrong. {impossible} cannot be shown in the rehearsal. "
        f"{len(results.controls)} runs with nothing broken, {alarms} of them false alarms or without a verdict.\n\n"
    )


def _versions(series: Series) -> str:
    return ", ".join(f"{name} {version}" for name, version in series.versions.items())


def row(fault: Fault, outcome: Outcome | None) -> str:
    """One line of the table."""
    lint = f"[{fault.lint}](lint-rules.md#{fault.lint})" if fault.lint else "cannot know"
    void = ", the run void" if fault.verdict and fault.verdict.verdict == "void" else ""
    wanted = f"`{fault.verdict.stage}`: {fault.verdict.words or STAGE}{void}" if fault.verdict else ""
    cells = (
        f"`{fault.name}`",
        fault.sentence,
        lint,
        wanted,
        _told(fault, outcome),
        f"{outcome.took_s:.0f}" if outcome else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _told(fault: Fault, outcome: Outcome | None) -> str:
    if outcome is None:
        return f"not shown: {fault.not_rehearsed}" if fault.not_rehearsed else "not run yet"
    if not outcome.right:
        return f"**wrong**: {outcome.problem}"
    return NAMED if fault.verdict and fault.verdict.words else STAGE


def _reasons(outcomes: list[Outcome]) -> list[str]:
    if not outcomes:
        return []
    lines = [f"* `{outcome.name}`: `{outcome.stage}`. {_one_line(outcome.reason)}\n" for outcome in outcomes]
    return ["## What the verdicts said\n\n", *lines]


def _one_line(reason: str) -> str:
    text = " ".join(reason.split())
    return text if len(text) <= 400 else text[:399] + "…"
