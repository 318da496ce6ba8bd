"""Every situation of `situations/`: recorded from the rehearsal, or made by hand as another one plus what is different; its head says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.explain import explain
from cluster.explain.snapshot import Snapshot, moment

FOLDER = Path(__file__).parent / "situations"
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
HEADS = ("# Made by hand", "# Recorded from the rehearsal")


def load(name: str) -> dict[str, Any]:
    """A situation with everything that it takes over from others."""
    document: dict[str, Any] = yaml.load((FOLDER / f"{name}.yaml").read_text("utf-8"), LOADER)  # noqa: S506 - safe
    if "from" not in document:
        return document
    base = load(document["from"])
    changes, removed = document.get("change") or {}, set(document.get("remove") or ())
    present = {identity(value) for value in base["objects"]}
    assert present >= {*changes, *removed}, f"{name} changes or removes what is not there"
    kept = [
        merged(value, changes.get(identity(value), {})) for value in base["objects"] if identity(value) not in removed
    ]
    return {**base, **document, "objects": [*kept, *(document.get("add") or ())]}


def identity(value: dict[str, Any]) -> str:
    return f"{value['kind']}/{value.get('metadata', {}).get('name')}"


def merged(value: Any, patch: Any) -> Any:
    """JSON merge patch: mappings are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict) or not isinstance(value, dict):
        return patch
    result = {**value, **{key: merged(value.get(key), item) for key, item in patch.items()}}
    return {key: item for key, item in result.items() if item is not None or key not in patch}


NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_sentence_is_what_a_colleague_would_say(name: str) -> None:
    document = load(name)
    taken_at = moment(document["taken_at"])
    assert taken_at is not None
    explanation = explain(Snapshot.of(taken_at, document["objects"]))
    assert explanation.sentence == document["sentence"]
    assert explanation.pending == (name != "healthy")


@pytest.mark.parametrize("name", NAMES)
def test_a_situation_says_where_it_is_from(name: str) -> None:
    assert (FOLDER / f"{name}.yaml").read_text("utf-8").startswith(HEADS)
