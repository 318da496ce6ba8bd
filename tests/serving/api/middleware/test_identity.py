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


@pytest.mark.parametrize(("brought", "kept"), [("a b", "a_b"), ("x" * 129, "x" * 128), ("a;é", "a__")])
async def test_of_a_request_id_that_could_spoil_a_log_the_rest_is_kept(brought: str, kept: str) -> None:
    answer = await ScriptedApi().http.get("/health", headers={b"x-request-id": brought.encode("latin-1")})
    assert answer.headers["x-request-id"] == kept


async def test_an_empty_request_id_is_none() -> None:
    answer = await ScriptedApi().http.get("/health", headers={"x-request-id": ""})
    assert len(answer.headers["x-request-id"]) == 32
