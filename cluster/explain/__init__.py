"""Why is this pending: Serve, Ray, pods, events, NodeClaims, pools and classes joined into one sentence and a tree.

Pure over a `Snapshot`: what a colleague would say who has looked at all of it at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.explain.findings import Branch, Finding
from cluster.explain.service import explain_service
from cluster.explain.snapshot import Snapshot
from cluster.objects import condition


@dataclass(frozen=True, slots=True)
class Explanation:
    """`sentence` says what waits, why, since when, and what to do; `tree` shows where that stands.

    Where the service answers all the same, the sentence says that first.
    """

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
    return Explanation(_sentence(snapshot, name, tree, findings), tree, findings)


def _sentence(snapshot: Snapshot, name: str, tree: Branch, findings: tuple[Finding, ...]) -> str:
    if not findings:
        return f"Nothing is pending: {tree.text}."
    first = findings[0].sentence(snapshot.taken_at)
    answers = condition(snapshot.named("RayService", name), "Ready").get("status") == "True"
    return f"{tree.text}. Pending: {first}" if answers and not tree.findings else first
