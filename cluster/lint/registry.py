"""The rules, each one a function that is registered where it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from cluster.lint.finding import Hit, Severity
from cluster.lint.stack import Stack

Check: TypeAlias = Callable[[Stack], Iterator[Hit]]

HOPS = (
    "manifest",
    "front door",
    "serve",
    "ray autoscaler",
    "ray cluster",
    "pod",
    "scheduler",
    "node pool",
    "node class",
    "device plugin",
    "image",
    "artefacts",
    "readiness",
    "drain",
)
"""The links of the chain that a request or a scale-out passes, in order; a rule guards one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; its statement is the docstring of its function."""

    id: str
    severity: Severity
    hop: str
    statement: str
    fix: str
    evidence: str
    check: Check


class Registry:
    """The rules in the order in which they were written."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def rule(self, hop: str, severity: Severity, *, fix: str, evidence: str) -> Callable[[Check], Check]:
        """Register a function as a rule: its name with dashes is the id, its docstring the statement."""

        def register(check: Check) -> Check:
            name = check.__name__.replace("_", "-")
            statement = " ".join((check.__doc__ or "").split())
            if hop not in HOPS or not statement or any(rule.id == name for rule in self.rules):
                raise ValueError(f"rule {name}: unknown hop, no statement, or registered twice")
            self.rules.append(Rule(name, severity, hop, statement, fix, evidence, check))
            return check

        return register


REGISTRY = Registry()
rule = REGISTRY.rule
