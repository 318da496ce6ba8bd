"""Retries and errors against a scripted transport; the rest is held by the tests on the real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes.client import ApiClient, Configuration
from urllib3.exceptions import ProtocolError

from cluster.client import Api, Resource
from cluster.errors import Refused
from cluster.transport import ApiError, Pace, Unreachable

PODS = Resource("v1", "Pod", "pods", namespaced=True)


class ScriptedPool:
    """Stands where urllib3's pool manager stands: gives the answers in order, and remembers the requests."""

    def __init__(self, *answers: tuple[int, Any] | Exception) -> None:
        self.answers = iter(answers)
        self.requests: list[tuple[str, str]] = []

    def request(self, method: str, url: str, **_: Any) -> urllib3.HTTPResponse:
        self.requests.append((method, url))
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        return urllib3.HTTPResponse(body=content, status=status, headers=headers, preload_content=True)


def api(pool: ScriptedPool, slept: list[float] | None = None) -> Api:
    configuration = Configuration(host="https://api.test")
    client = ApiClient(configuration)
    client.rest_client.pool_manager = pool  # type: ignore[assignment]
    waits = [] if slept is None else slept
    return Api(client, name="test", pace=Pace(sleep=waits.append, jitter=lambda: 1.0))


def failure(status: int, message: str = "no") -> tuple[int, Any]:
    return status, {"kind": "Status", "status": "Failure", "message": message, "code": status}


def test_a_read_is_repeated_slower_each_time_until_it_is_answered() -> None:
    slept: list[float] = []
    pool = ScriptedPool(failure(503), ProtocolError("reset"), failure(429), (200, {"items": []}))
    assert api(pool, slept).listing(PODS).items == []
    assert slept == [0.2, 0.4, 0.8]


def test_an_apply_and_a_delete_of_one_uid_are_repeated_too() -> None:
    pool = ScriptedPool(ProtocolError("reset"), (200, {"a": 1}), failure(500), (200, {}))
    client = api(pool)
    value = {"metadata": {"name": "a", "namespace": "b", "uid": "u"}}
    assert client.apply(value, PODS) == {"a": 1}
    client.delete(value, PODS)
    assert [method for method, _ in pool.requests] == ["PATCH", "PATCH", "DELETE", "DELETE"]


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
def test_what_the_server_has_decided_is_not_asked_again(status: int) -> None:
    pool = ScriptedPool(failure(status, "because"))
    with pytest.raises(ApiError, match="because") as refused:
        api(pool).listing(PODS)
    assert refused.value.status == status
    assert len(pool.requests) == 1


def test_a_server_that_never_answers_is_one_sentence() -> None:
    slept: list[float] = []
    with pytest.raises(Unreachable, match=r"https://api\.test does not answer \(reset\); check the kubeconfig"):
        api(ScriptedPool(*[ProtocolError("reset")] * 6), slept).server_version()
    assert len(slept) == 5


def test_what_is_not_there_is_none_and_deleting_it_is_no_error() -> None:
    client = api(ScriptedPool(failure(404), failure(404), failure(409)))
    assert client.get(PODS, "a", "b") is None
    client.delete({"metadata": {"name": "a", "namespace": "b", "uid": "u"}}, PODS)
    client.delete({"metadata": {"name": "a", "namespace": "b", "uid": "another"}}, PODS)


def test_a_proxys_page_of_html_is_an_error_like_any_other() -> None:
    with pytest.raises(ApiError) as refused:
        api(ScriptedPool((403, b"<html>forbidden</html>"))).listing(PODS)
    assert refused.value.status == 403


def test_without_a_kubeconfig_the_sentence_names_it_and_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=rf"there is no file {tmp_path}/none\. Set .*aws eks update-kubeconfig --name"):
        Api.connect(tmp_path / "none")


@pytest.mark.parametrize(
    "content", [b"\t- {", b"\xff\xfe\x00", b"[]", b"7", b"", b"clusters: 3\ncontexts: 4\ncurrent-context: a\n", b"{}"]
)
def test_a_file_that_is_no_kubeconfig_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    with pytest.raises(Refused, match=rf"^No cluster to talk to: {file}.* Set KUBECONFIG to a kubeconfig") as refused:
        Api.connect(file)
    assert "\n" not in str(refused.value)


def kubeconfig_with_plugin(folder: Path, *command: str) -> Path:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command[0],
        "args": list(command[1:]),
        "interactiveMode": "Never",
    }
    content = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": "https://api.test"}}],
        "users": [{"name": "a", "user": {"exec": plugin}}],
    }
    file = folder / "config"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("/nowhere/aws", "eks", "get-token"), "No such file or directory: '/nowhere/aws'"),
        (("/bin/sh", "-c", "echo Unable to locate credentials >&2; exit 255"), "Unable to locate credentials"),
        (("/bin/sh", "-c", "echo no json"), "failed to decode process output"),
    ],
)
def test_a_credential_plugin_that_fails_ends_it_before_the_first_question(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: tuple[str, ...], said: str
) -> None:
    with pytest.raises(Refused, match=f"No credentials for the cluster: .*{said}.* Mend that first"):
        Api.connect(kubeconfig_with_plugin(tmp_path, *command))
    assert capfd.readouterr().err == ""


def test_a_credential_plugin_that_works_is_used(tmp_path: Path) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "secret"},
    }
    command = ("/bin/sh", "-c", f"echo '{json.dumps(credential)}'")
    assert Api.connect(kubeconfig_with_plugin(tmp_path, *command)).host == "https://api.test"
