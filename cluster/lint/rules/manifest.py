"""The text itself: what is no valid object, or not the object that its author meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster import placeholders
from cluster.lint.finding import Hit
from cluster.lint.registry import rule
from cluster.lint.rules.api_version import KARPENTER_CRDS, KINDS, KUBERAY_CRDS
from cluster.lint.stack import Stack
from cluster.objects import Manifest, mapping, text
from cluster.quantity import parse
from cluster.schemas import POD_TEMPLATE, Problem, load

HOP = "manifest"
NEWER_KUBERAY = {  # what KubeRay 1.7 added to the specs that we keep
    "networkPolicy": "1.7",
    "tlsOptions": "1.7",
    "historyServerOptions": "1.7",
    "priority": "1.7",
    "backend": "1.7",
    "rocksdb": "1.7",
}
POD_SPEC_KEYS = frozenset(load().nodes[load().nodes[load().kinds[POD_TEMPLATE]]["properties"]["spec"]]["properties"])
# Text that belongs to a shell, a program or another tool may hold `${X}` for good reason.
FREE_TEXT = frozenset(
    {"command", "args", "data", "stringData", "serveConfigV2", "runtimeEnvYAML", "entrypoint", "exec", "userData"}
)
PLACEHOLDER = re.compile(r"\$\{[A-Za-z_]\w*\}|^<<?[A-Za-z][\w .-]*>>?$|<<[A-Za-z]\w*>>")
SECRET = re.compile(
    r"\b(AKIA[0-9A-Z]{16}|hf_[A-Za-z0-9]{30,}|ghp_[A-Za-z0-9]{36}|sk-[A-Za-z0-9_-]{32,}|xox[bp]-[0-9A-Za-z-]{20,})\b"
)


@rule(HOP, "warning", fix="Mend the file, or point lint at what its tool prints.", evidence="this lint's YAML reader")
def unreadable_file(stack: Stack) -> Iterator[Hit]:
    """A file of the folder is not YAML, or a kustomization cannot be rendered, so nothing in it was looked at."""
    for manifest, reason in stack.unreadable:
        yield Hit(manifest, "", reason)
    for manifest, reason in stack.unrendered:
        yield Hit(manifest, "", reason, severity="error", fix="Mend the kustomization, or what it names.")


@rule(HOP, "error", fix="Keep one of them.", evidence="YAML 1.2 §3.2.1.3: keys are unique; most parsers keep the last")
def repeated_key(stack: Stack) -> Iterator[Hit]:
    """A mapping has the same key twice: the last one wins, and nothing says so."""
    for manifest, key in stack.repeated_keys:
        yield Hit(manifest, key.path, f"the key stands again on line {key.line}; the value before it is lost")


@rule(
    HOP,
    "info",
    fix="Export the variable to lint what will be applied.",
    evidence="placeholders.yaml beside the manifests",
)
def placeholder_unset(stack: Stack) -> Iterator[Hit]:
    """A declared placeholder has no value here, so its example was linted in its place."""
    for name, example in stack.unset_placeholders:
        yield Hit(Manifest({}), "", f"${{{name}}} is not set; linted with the example {example}")


@rule(
    HOP,
    "error",
    fix="Export ${NAME} and fill it with envsubst before applying; fill any other form with the tool that its author used.",
    evidence="envsubst replaces an unset name by nothing; kubectl applies what is left literally",
)
def placeholder_unresolved(stack: Stack) -> Iterator[Hit]:
    """A placeholder is left in what will be applied."""
    for manifest in stack.manifests:
        if manifest.kind not in ("ConfigMap", "Secret", "CustomResourceDefinition"):
            for path, value in _strings(manifest.value, ""):
                if PLACEHOLDER.search(value):
                    yield _unresolved(manifest, path, value, stack.declared_placeholders)


def _unresolved(manifest: Manifest, path: str, value: str, declared: Sequence[str]) -> Hit:
    message = f"`{value[:80]}` still holds a placeholder"
    name = next((name for name in placeholders.used(value) if name not in declared), "")
    if declared and name:
        # `render` and `deploy` refuse what is not declared: a name that placeholders.yaml lacks is a typing error.
        fix = f"Correct the name, or declare {name} in {placeholders.DECLARATION}."
        return Hit(manifest, path, f"{message}: {name} is {placeholders.undeclared(name, declared)}", fix=fix)
    # `${NAME}` may still meet envsubst, which leaves nothing of it; `<NAME>` meets nobody.
    return Hit(manifest, path, message, severity="warning" if "${" in value else "error")


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key not in FREE_TEXT and key != "description":
                yield from _strings(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, f"{path}[{index}]")


@rule(
    HOP,
    "error",
    fix="Remove or rename it; `kubectl explain` prints the fields of the installed version.",
    evidence=f"{KARPENTER_CRDS}, {KUBERAY_CRDS}",
)
def unknown_field(stack: Stack) -> Iterator[Hit]:
    """A field that the pinned CRD or a pod does not have: the API server drops it, and what it asked for never happens."""
    for manifest, problem in stack.schema_problems:
        if problem.kind == "unknown" and not _misplaced(problem):
            newer = NEWER_KUBERAY.get(problem.field) if manifest.group == "ray.io" else None
            hint = f"; KubeRay {newer} knows it, 1.6.1 does not" if newer else ""
            yield Hit(manifest, problem.path, f"`{problem.field}` {problem.message}{hint}")


def _misplaced(problem: Problem) -> bool:
    parent = problem.path.rpartition(".")[0]
    return problem.field in POD_SPEC_KEYS and parent.endswith(("template", "podTemplate"))


@rule(
    HOP, "error", fix="Indent it one level deeper, under `spec`.", evidence="PodTemplateSpec has metadata and spec only"
)
def pod_field_misplaced(stack: Stack) -> Iterator[Hit]:
    """A field of the pod's spec stands beside it, directly under `template`, where nobody reads it."""
    for manifest, problem in stack.schema_problems:
        if problem.kind == "unknown" and _misplaced(problem):
            yield Hit(manifest, problem.path, f"`{problem.field}` belongs under `template.spec`")


@rule(HOP, "error", fix="Write what the schema asks for.", evidence=f"{KARPENTER_CRDS}, {KUBERAY_CRDS}")
def schema_mismatch(stack: Stack) -> Iterator[Hit]:
    """A field is missing, of another type, or outside its values: the API server refuses the object."""
    for manifest, problem in stack.schema_problems:
        if problem.kind not in ("unknown",):
            yield Hit(manifest, problem.path, f"{problem.path} {problem.message}")


AMOUNTS_IN = ("", "apps", "batch", *KINDS)  # elsewhere it may be a pattern: a Kyverno policy has `memory: "?*"`


@rule(
    HOP,
    "error",
    fix="Write a number with at most one suffix, without a space: 500m, 26Gi, 2.",
    evidence="apimachinery's resource.ParseQuantity: m; k, M, G, T, P, E; Ki, Mi, Gi, Ti, Pi, Ei",
)
def quantity_invalid(stack: Stack) -> Iterator[Hit]:
    """An amount in requests, limits, a quota, a NodePool's limits or an emptyDir that is no quantity: the object is refused."""
    for manifest in stack.manifests:
        if manifest.kind and manifest.group in AMOUNTS_IN:
            for path, value in _amounts(manifest):
                wrong = parse(value) is None or text(value) != text(value).strip()
                if wrong and "$" not in text(value) and not PLACEHOLDER.search(text(value)):
                    yield Hit(manifest, path, f"`{text(value)[:80]}` is no quantity{_meant(text(value))}")


def _amounts(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    """(path, scalar) of everything that the API server reads as a quantity, whichever kind it is."""
    if manifest.kind == "ResourceQuota":
        yield from _scalars(manifest.spec.get("hard"), "spec.hard")
    if manifest.kind == "NodePool" and manifest.group == "karpenter.sh":
        yield from _scalars(manifest.spec.get("limits"), "spec.limits")
    for path, value in _mappings(manifest.value, ""):
        if path.endswith(".resources"):
            for part in ("requests", "limits"):
                yield from _scalars(value.get(part), f"{path}.{part}")
        elif path.endswith(".emptyDir"):
            yield from _scalars({key: value[key] for key in ("sizeLimit",) if key in value}, path)


def _scalars(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, amount in mapping(value).items():
        if isinstance(amount, str | int | float) and not isinstance(amount, bool):  # else schema-mismatch has it
            yield f"{path}.{name}", amount


def _mappings(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield path, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        step = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}"
        yield from _mappings(item, step.removeprefix("."))


def _meant(written: str) -> str:
    if parse(closed := "".join(written.split())) is not None:
        return f"; did you mean {closed}?"
    found = re.match(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)", written)
    if found is None:
        return ""
    number, unit = found.groups()
    if unit[:1].upper() in tuple("KMGTPE") and unit[1:].lower() in ("", "b", "i", "ib"):
        prefix = unit[0].upper()
        decimal = "" if "i" in unit.lower() else f", or {number}{prefix.replace('K', 'k')} in powers of 1000"
        return f"; did you mean {number}{prefix}i{decimal}?"
    return f"; did you mean {number}?" if unit.lower() in ("", "core", "cores", "cpu", "cpus") else ""


@rule(
    HOP,
    "warning",
    fix="Keep it in a Secret that is made outside of git, and refer to it by secretKeyRef.",
    evidence="the published shapes of AWS, Hugging Face, GitHub, OpenAI and Slack keys",
)
def secret_literal(stack: Stack) -> Iterator[Hit]:
    """Something that looks like a credential stands in a manifest."""
    for manifest in stack.manifests:
        for path, value in _every_string(mapping(manifest.value), ""):
            if SECRET.search(value):
                yield Hit(manifest, path, "this looks like a credential; whoever reads the repository has it")


def _every_string(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _every_string(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _every_string(item, f"{path}[{index}]")
