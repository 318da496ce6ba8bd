"""manifests/loadtest/observer-rbac.yaml allows every read of the observers, and nothing that none of them does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.support.cluster_objects import World
from tests.support.cluster_watching import Watching

RBAC = Path(__file__).parents[4] / "manifests" / "loadtest" / "observer-rbac.yaml"
ANYWHERE = ""  # every namespace, and what has none
Right = tuple[str, str, str, str]  # namespace, API group, resource, verb

_PATH = re.compile(
    r"^/(?:api/v1|apis/(?P<group>[\w.]+)/v1)(?:/namespaces/(?P<namespace>[\w-]+))?"
    r"/(?P<kind>\w+)(?:/(?P<name>[\w.:-]+)(?:/(?P<sub>log|proxy).*)?)?$"
)


def needed(path: str) -> Right | None:
    """The right to a GET, as the API server derives it; discovery needs none."""
    if urlsplit(path).path in ("/apis/karpenter.sh/v1", "/api/v1"):
        return None
    found = _PATH.match(urlsplit(path).path)
    assert found is not None, path
    resource = found["kind"] + (f"/{found['sub']}" if found["sub"] else "")
    return found["namespace"] or ANYWHERE, found["group"] or "", resource, "get" if found["name"] else "list"


def granted() -> Iterator[Right]:
    for document in yaml.safe_load_all(RBAC.read_text()):
        if document["kind"] in ("Role", "ClusterRole"):
            namespace = document["metadata"].get("namespace", ANYWHERE)
            for rule in document["rules"]:
                yield from _rights(namespace, rule)


def _rights(namespace: str, rule: dict[str, Any]) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield namespace, group, resource, verb


def asked() -> set[Right]:
    """Everything that a watch asks for, from a deployment's start until a worker's node is left alone."""
    world = World()
    world.pods[0]["status"]["containerStatuses"].append({"name": "autoscaler", "state": {"running": {}}})
    watching = Watching(world)
    watching.look(20.0)
    del world.pods[1]  # the worker; its node is asked for whom it still holds
    watching.look(30.0)
    watching.look(31.0)
    return {right for path in world.asked if (right := needed(path)) is not None}


def test_every_read_is_allowed() -> None:
    allowed = set(granted())
    missing = {right for right in asked() if right not in allowed and (ANYWHERE, *right[1:]) not in allowed}
    assert missing == set()


def test_nothing_is_allowed_that_is_not_read() -> None:
    reads = asked()
    anywhere = {(ANYWHERE, *right[1:]) for right in reads}
    assert {right for right in granted() if right not in reads and right not in anywhere} == set()


def test_nobody_may_change_anything() -> None:
    assert {verb for _, _, _, verb in granted()} <= {"get", "list"}
    subjects = [row for d in yaml.safe_load_all(RBAC.read_text()) if "subjects" in d for row in d["subjects"]]
    assert {row["name"] for row in subjects} == {"chatbot-observers"}
