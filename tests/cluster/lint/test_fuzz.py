"""Whatever YAML somebody has, lint answers: no exception of ours, no hang."""

from __future__ import annotations

import contextlib
import copy
import io
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.documents import read
from cluster.errors import Refused
from cluster.lint.engine import lint
from cluster.lint.source import load
from cluster.lint.stack import Stack
from cluster.objects import Manifest
from tests.support.lint_stack import CLEAN, build

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(
    [
        "spec",
        "metadata",
        "template",
        "containers",
        "resources",
        "limits",
        "cpu",
        "memory",
        "name",
        "kind",
        "values",
        "key",
    ]
)
KINDS = st.sampled_from(
    ["RayService", "RayCluster", "NodePool", "EC2NodeClass", "Service", "Ingress", "Deployment", "Pod"]
)
GROUPS = st.sampled_from(["ray.io/v1", "karpenter.sh/v1", "karpenter.k8s.aws/v1", "v1", "apps/v1", "policy/v1"])
TREES = st.recursive(
    SCALARS | st.sampled_from(["1", "26Gi", "-1", "nan", "Never", "720h", "0%", "In"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=6), inner, max_size=4),
    max_leaves=25,
)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@FEW
@given(st.lists(st.tuples(GROUPS, KINDS, TREES), max_size=4))
def test_any_tree_under_any_kind_is_linted(parts: list[tuple[str, str, Any]]) -> None:
    manifests = [
        Manifest({"apiVersion": group, "kind": kind, **(tree if isinstance(tree, dict) else {"spec": tree})})
        for group, kind, tree in parts
    ]
    lint(Stack(manifests))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value below `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, item in items for p in [(*path, key), *places(item, (*path, key))]]


STACK: dict[str, Any] = next(iter(read(CLEAN))).value
STACK["service"]["spec"]["serveConfigV2"] = build().clusters[0].manifest.spec["serveConfigV2"]
SERVE: dict[str, Any] = next(iter(read(STACK["service"]["spec"]["serveConfigV2"]))).value


def put(target: Any, path: tuple[Any, ...], value: Any) -> None:
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value


@settings(FEW, max_examples=200)
@given(st.sampled_from(places(STACK)), TREES)
def test_any_value_at_any_place_of_a_real_stack_is_linted(path: tuple[Any, ...], value: Any) -> None:
    stack = copy.deepcopy(STACK)
    put(stack, path, value)
    lint(Stack([Manifest(item) for item in stack.values() if isinstance(item, dict)]))


@settings(FEW, max_examples=100)
@given(st.sampled_from(places(SERVE)), TREES)
def test_any_value_at_any_place_of_a_serve_config_is_linted(path: tuple[Any, ...], value: Any) -> None:
    config = copy.deepcopy(SERVE)
    put(config, path, value)
    service = copy.deepcopy(STACK["service"])
    service["spec"]["serveConfigV2"] = config
    lint(Stack([Manifest(service), Manifest(config)]))


@FEW
@given(st.text(max_size=200))
def test_any_text_on_standard_input_is_linted_or_refused(content: str) -> None:
    with contextlib.suppress(Refused):
        lint(load("-", io.StringIO(content), {}))
