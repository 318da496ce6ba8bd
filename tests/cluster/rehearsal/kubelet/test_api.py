from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from cluster.client import Api
from cluster.rehearsal.kubelet.api import KubeletApi
from cluster.transport import ApiError


def answering(status: int) -> KubeletApi:
    """Of an API server that answers everything with one status."""

    def ask(*_: object, **__: object) -> None:
        if status >= 400:
            raise ApiError(status, "it is said why", {})

    return KubeletApi(cast(Api, SimpleNamespace(transport=SimpleNamespace(ask=ask))))


@pytest.mark.parametrize(("status", "is_there"), [(200, True), (404, False)])
def test_an_event_that_has_expired_is_told_from_one_that_was_changed(status: int, is_there: bool) -> None:
    assert answering(status).patch_event("e", "ns", {"count": 2}) is is_there


def test_an_event_that_may_not_be_changed_is_an_error() -> None:
    with pytest.raises(ApiError, match="it is said why"):
        answering(403).patch_event("e", "ns", {"count": 2})
