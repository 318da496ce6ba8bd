from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.rehearsal.crds import until_established


def definition(name: str, *, is_established: bool) -> dict[str, Any]:
    conditions = [{"type": "Established", "status": "True" if is_established else "False"}]
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def test_they_are_waited_for_until_the_last_of_them_is_established() -> None:
    done, undone = (definition("pools", is_established=well) for well in (True, False))
    assert until_established(iter([[undone], [done], []]), lambda: 0.0) == [done]


def test_one_that_is_never_established_is_named_and_not_waited_for_for_ever() -> None:
    clock = itertools.count(0.0, 10.0)
    both: list[Mapping[str, Any]] = [
        definition("claims", is_established=True),
        definition("pools", is_established=False),
    ]
    with pytest.raises(ClusterError, match="has not established pools after 300 s"):
        until_established(itertools.repeat(both), lambda: next(clock))
