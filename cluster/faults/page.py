"""The reference page of the faults, made from the catalog and from the last committed run."""

from __future__ import annotations

from itertools import groupby

from cluster.faults.catalog import FAULTS
from cluster.faults.fault import Fault, Phase
from cluster.faults.outcome import CONTROL, Outcome
from cluster.faults.results import Results, by_name, read

_HEAD = """# Seeded faults

{count} ways in which the chain from load to a new replica breaks, each one change to a manifest, a component or a node of the
[rehearsal](../rehearsal.md), and who names it: [lint](lint-rules.md) beforehand, or the verdict of the load test, by the
stage that broke and its reason. `make rehearse-faults` runs them; `python -m cluster rehearse-faults NAME` runs one.

A fault is *named* when the verdict's `broken_link.stage` is the one expected and its reason holds the expected words.
Lint's part is held by a test over the manifests as they stand.

"""


def page() -> str:
    """The Markdown text of docs/reference/faults.md, without its note."""
    results = read()
    seen = by_name(results.outcomes)
    parts = [_HEAD.format(count=len(FAULTS)), _summary(results)]
    for phase, faults in groupby(sorted(FAULTS, key=lambda f: list(Phase).index(f.phase)), lambda f: f.phase):
        parts.append(f"## {phase.value[0].upper()}{phase.value[1:]}\n\n")
        parts.append("| fault | what is wrong | lint | the verdict has to name | in the rehearsal | s |\n")
        parts.append("| --- | --- | --- | --- | --- | --- |\n")
        parts += [_row(fault, seen.get(fault.name)) for fault in faults]
        parts.append("\n")
    parts += _reasons([o for o in results.outcomes if o.stage and o.name != CONTROL])
    return "".join(parts)


def _summary(results: Results) -> str:
    if not results.outcomes:
        return "No run has been committed yet.\n\n"
    controls = [outcome for outcome in results.outcomes if outcome.name == CONTROL]
    faults = [outcome for outcome in results.outcomes if outcome.name != CONTROL]
    wrong = sum(not outcome.right for outcome in faults)
    alarms = sum(not outcome.right for outcome in controls)
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return (
        f"Last run: {results.date}, with {versions}. {len(faults)} faults were run, {wrong} named wrongly; "
        f"{len(controls)} runs with nothing broken, {alarms} false alarms.\n\n"
    )


def _row(fault: Fault, outcome: Outcome | None) -> str:
    lint = f"[{fault.lint}](lint-rules.md#{fault.lint})" if fault.lint else "cannot know"
    wanted = f"`{fault.verdict.stage}`: {fault.verdict.words}" if fault.verdict else ""
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
    return "named" if outcome.right else f"**wrong**: {outcome.problem}"


def _reasons(outcomes: list[Outcome]) -> list[str]:
    if not outcomes:
        return []
    lines = [f"* `{outcome.name}`: `{outcome.stage}`. {_one_line(outcome.reason)}\n" for outcome in outcomes]
    return ["## What the verdicts said\n\n", *lines]


def _one_line(reason: str) -> str:
    text = " ".join(reason.split())
    return text if len(text) <= 400 else text[:399] + "…"
