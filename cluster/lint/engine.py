"""Runs every rule over a stack."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cluster.lint import rules as rules_package
from cluster.lint.finding import SEVERITIES, Finding, Hit, Report
from cluster.lint.registry import HOPS, REGISTRY, Rule
from cluster.lint.serve import PATH_OF_CONFIG
from cluster.lint.stack import Stack
from cluster.objects import Manifest


def all_rules() -> list[Rule]:
    """Every rule of `cluster.lint.rules`, by hop and then as written."""
    for module in sorted(pkgutil.iter_modules(rules_package.__path__), key=lambda info: info.name):
        importlib.import_module(f"{rules_package.__name__}.{module.name}")
    return sorted(REGISTRY.rules, key=lambda rule: HOPS.index(rule.hop))


def lint(stack: Stack) -> Report:
    """The findings of every rule, gravest first, then along the chain."""
    findings = [finding for rule in all_rules() for finding in _apply(rule, stack)]
    return _report(findings, len(stack.manifests))


def lint_each(stacks: Sequence[Stack]) -> Report:
    """One report over stacks that have nothing to do with each other, what they share said once."""
    reports = [lint(stack) for stack in stacks]
    findings = {
        (f.rule, f.severity, f.manifest.key, f.path, f.message): f for report in reports for f in report.findings
    }
    return _report(list(findings.values()), sum(report.objects for report in reports))


def _report(findings: list[Finding], objects: int) -> Report:
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), HOPS.index(finding.hop)))
    return Report(tuple(findings), objects)


def _apply(rule: Rule, stack: Stack) -> Iterator[Finding]:
    seen: set[tuple[object, str, str]] = set()
    for hit in rule.check(stack):
        mark = (id(hit.manifest), hit.path, hit.message)
        if mark not in seen:
            seen.add(mark)
            yield Finding(
                rule.id,
                hit.severity or rule.severity,
                rule.hop,
                _written(hit, stack),
                hit.path,
                hit.message,
                hit.fix or rule.fix,
                rule.evidence,
            )


def _written(hit: Hit, stack: Stack) -> Manifest:
    """The manifest with the file to mend: a Serve config may stand in another one than its RayService."""
    file = stack.serve_files.get(hit.manifest.key) if hit.path.startswith(PATH_OF_CONFIG) else None
    return replace(hit.manifest, file=file, line=0) if file else hit.manifest
