import pytest

from tests.support.api import ScriptedApi


async def test_every_answer_names_its_replica_and_a_request_id_of_its_own() -> None:
    http = ScriptedApi().http
    first, second = await http.get("/health"), await http.get("/v1/nothing")
    assert first.headers["x-replica-id"] == second.headers["x-replica-id"] == "replica-1"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_a_clients_own_request_id_is_kept() -> None:
    answer = await ScriptedApi().http.get("/health", headers={"x-request-id": "trace-1:a.b"})
    assert answer.headers["x-request-id"] == "trace-1:a.b"


@pytest.mark.parametrize("brought", ["", "a b", "x" * 129, "a;b"])
async def test_a_request_id_that_could_spoil_a_log_is_replaced(brought: str) -> None:
    answer = await ScriptedApi().http.get("/health", headers={"x-request-id": brought})
    assert answer.headers["x-request-id"] != brought
