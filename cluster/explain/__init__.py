"""Why is this pending: Serve, Ray, pods, events, NodeClaims, pools and classes joined into one sentence and a tree.

Pure over a `Snapshot`: what a colleague would say who has looked at all of it at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.explain.findings import Branch, Finding
from cluster.explain.service import explain_service
from cluster.explain.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Explanation:
    """`sentence` says what waits, why, since when, and what to do; `tree` shows where that stands."""

    sentence: str
    tree: Branch
    findings: tuple[Finding, ...]

    @property
    def pending(self) -> bool:
        """Whether anything is waited for."""
        return bool(self.findings)


def explain(snapshot: Snapshot, *, namespace: str = "chatbot", name: str = "chatbot") -> Explanation:
    """The state of one RayService: first what somebody has to mend, then what takes long, then what just takes time."""
    tree = explain_service(snapshot, namespace, name)
    findings = tuple(sorted(tree.all_findings(), key=lambda finding: finding.weight))
    sentence = findings[0].sentence(snapshot.taken_at) if findings else f"Nothing is pending: {tree.text}."
    return Explanation(sentence, tree, findings)
