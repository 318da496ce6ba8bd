"""The findings for people: by severity, then by the hop they guard."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from textwrap import fill

from cluster.lint.finding import SEVERITIES, Finding, Report, Severity

_COLOURS: dict[Severity, str] = {"error": "31", "warning": "33", "info": "36"}
_WIDTH = 110


def human(report: Report, *, colour: bool) -> str:
    """All findings and a summary line; ANSI colours where `colour`."""
    lines = []
    for (severity, hop), findings in groupby(report.findings, key=lambda finding: (finding.severity, finding.hop)):
        lines.append(_paint(f"{severity.upper()}  {hop}", severity, colour=colour))
        for finding in findings:
            lines += [*_finding(finding), ""]
    return "\n".join([*lines, summary(report)])


def summary(report: Report) -> str:
    """`18 objects: 0 errors, 1 warning, 2 infos`."""
    counts = [(report.count(severity), severity) for severity in SEVERITIES]
    return f"{_plural(report.objects, 'object')}: {', '.join(_plural(count, severity) for count, severity in counts)}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _finding(finding: Finding) -> Iterator[str]:
    manifest = finding.manifest
    named = f"{manifest.kind} {manifest.name}" if manifest.kind else ""
    line = f":{manifest.line}" if manifest.file and manifest.line else ""
    place = "  ".join(part for part in (named, finding.path, f"{manifest.file or ''}{line}") if part)
    yield f"  {finding.rule}" + (f"  {place}" if place else "")
    yield fill(finding.message, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    yield fill(f"Fix: {finding.fix}", _WIDTH, initial_indent="    ", subsequent_indent="    ")


def _paint(text: str, severity: Severity, *, colour: bool) -> str:
    return f"\033[1;{_COLOURS[severity]}m{text}\033[0m" if colour else text
