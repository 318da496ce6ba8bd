"""The reference page of the rules, made from the rules."""

from __future__ import annotations

from itertools import groupby

from cluster.lint.engine import all_rules
from cluster.lint.registry import Rule

NOT_CHECKED = {
    "upgrade-by-toleration": "needs two versions of a RayService; `cluster plan` compares what is applied with what would be",
    "gate-needed": "feature gates stand in the values of the operator's and Karpenter's charts, which are no manifests here; "
    "a field that the pinned KubeRay 1.6.1 lacks is found by unknown-field",
    "endpoint reachability": "DNS, routes and security groups are known to the cluster only; `cluster explain` looks there",
    "ami-alias-exists": "needs AWS; `cluster deploy` asks before its first write",
    "accelerator-quota": "needs AWS; `cluster deploy` asks before its first write",
    "values in args and user_config of a Serve config": "they are the application's own; it says at its start what is wrong",
    "zone-has-type": "which zones offer trn1 is known to EC2 only; Karpenter says it of a pod that waits, and `cluster explain` repeats it",
    "subnet and security group tags": "needs AWS; Karpenter's conditions on the node class say it, and `cluster explain` repeats it",
    "image-contents": "whether an image holds bash, wget, Neuron's tools or a Ray version needs the image; tags are read",
    "ephemeral-budget": "image sizes are known to the registry only; root-volume-small uses fixed figures",
    "memory-limit-above-allocatable": "a limit above what a type offers is legal and common; pod-exceeds-allowed-types has the requests",
    "compiled-artifact-mismatch": "needs the artefact's manifest; `python -m serving artifacts` compares it before a start",
    "plugin-cleanup-mismatch": "speaks of scripts, which are not read",
    "volume zones (PV)": "a volume's zone is known once it exists; zone-conflict has selectors",
    "capacity-reservation contents": "what a reservation holds is known to EC2 only",
    "CEL rules of the CRDs": "kept as text in the schemas and left to the API server; the most common have rules of their own",
    "fields of Services, Ingresses and other built-in kinds": "kubectl apply validates them strictly against the cluster's own version",
}
"""What the chain depends on and this lint does not look at, each with its reason."""

_HEAD = """# Lint rules

`python -m cluster lint PATH` applies {count} rules to a kustomization, a folder, a file or a stream. A finding says what is
wrong with the arithmetic that shows it, what to do, and on what evidence. Findings of severity error make the command end
with 1. The rules stand in `cluster/lint/rules`, one function each; they are listed here along the chain that a request and
a scale-out pass.

"""


def page() -> str:
    """The Markdown text of docs/reference/lint-rules.md, without its note."""
    rules = all_rules()
    parts = [_HEAD.format(count=len(rules))]
    for hop, group in groupby(rules, key=lambda rule: rule.hop):
        parts.append(f"## {hop[0].upper()}{hop[1:]}\n\n" + "".join(_entry(rule) for rule in group))
    parts.append("## Not checked\n\n")
    parts += [f"* **{name}**: {reason}.\n" for name, reason in NOT_CHECKED.items()]
    return "".join(parts)


def _entry(rule: Rule) -> str:
    return f"### `{rule.id}`\n\n{rule.severity}. {rule.statement}\n\n* Fix: {rule.fix}\n* Evidence: {rule.evidence}\n\n"
