import hashlib
from pathlib import Path

import openai
import pytest

from tests.support.api import ScriptedApi


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"ann:{hashlib.sha256(b'sk-ann').hexdigest()}\n")
    return path


async def test_a_good_key_opens_the_api_to_the_official_client(keys_file: Path) -> None:
    client = ScriptedApi(api_keys_file=keys_file).openai(api_key="sk-ann")
    assert (await client.models.list()).data[0].id == "scripted"


async def test_a_wrong_key_is_an_authentication_error(keys_file: Path) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        await ScriptedApi(api_keys_file=keys_file).openai(api_key="sk-bob").models.list()
    assert raised.value.code == "invalid_api_key"
    assert raised.value.response.headers["www-authenticate"] == "Bearer"
    assert raised.value.response.headers["x-request-id"]


@pytest.mark.parametrize("header", [None, "sk-ann", "Basic sk-ann", "Bearer ", "Bearer \xff"])
async def test_no_usable_key_is_a_401_on_every_openai_path(keys_file: Path, header: str | None) -> None:
    http = ScriptedApi(api_keys_file=keys_file).http
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]
    for path in ("/v1/models", "/v1/nothing", "/v1"):
        assert (await http.get(path, headers=headers)).status_code == 401


async def test_health_and_readiness_need_no_key(keys_file: Path) -> None:
    http = ScriptedApi(api_keys_file=keys_file).http
    assert [(await http.get(path)).status_code for path in ("/health", "/ready")] == [200, 200]


async def test_refusals_are_counted_by_status(keys_file: Path) -> None:
    api = ScriptedApi(api_keys_file=keys_file)
    await api.http.get("/v1/models")
    await api.http.get("/nothing")
    assert api.sink.counted == {
        ("http_errors_total", (("status", "401"),)): 1,
        ("http_errors_total", (("status", "404"),)): 1,
    }
