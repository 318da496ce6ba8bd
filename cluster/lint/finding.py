"""What a rule says, and what a user is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cluster.objects import Manifest

Severity: TypeAlias = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
SCHEMA = "chatbot.lint/v1"


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a rule is broken, as the rule's function yields it."""

    manifest: Manifest
    path: str  # spec.rayClusterConfig.workerGroupSpecs[0]
    message: str  # with the arithmetic
    severity: Severity | None = None  # where this case is graver or milder than the rule's own
    fix: str = ""  # where this case needs another one than the rule's own


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend."""

    rule: str
    severity: Severity
    hop: str
    manifest: Manifest
    path: str
    message: str
    fix: str
    evidence: str

    def document(self) -> dict[str, Any]:
        """As in the JSON output."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "hop": self.hop,
            "object": {
                "kind": self.manifest.kind,
                "namespace": self.manifest.namespace,
                "name": self.manifest.name,
            },
            "file": self.manifest.file,
            "path": self.path,
            "message": self.message,
            "fix": self.fix,
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found in one go."""

    findings: tuple[Finding, ...]
    objects: int

    def count(self, severity: Severity) -> int:
        """How many findings are of `severity`."""
        return sum(finding.severity == severity for finding in self.findings)

    def document(self) -> Mapping[str, Any]:
        """The JSON output."""
        summary: dict[str, int] = {severity: self.count(severity) for severity in SEVERITIES}
        return {
            "schema": SCHEMA,
            "findings": [finding.document() for finding in self.findings],
            "summary": summary | {"objects": self.objects},
        }
