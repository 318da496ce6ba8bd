from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from cluster.targets.local.dashboard import Dashboard, Replica, ServeStatus, read_status

RUNNING: dict[str, Any] = {
    "applications": {
        "chatbot": {
            "status": "RUNNING",
            "message": "",
            "deployments": {
                "Chat": {
                    "message": "",
                    "target_num_replicas": 2,
                    "replicas": [
                        {"replica_id": "a", "state": "RUNNING", "pid": 5},
                        {"replica_id": "b", "state": "STARTING", "pid": None},
                    ],
                }
            },
        }
    }
}


def test_replicas_are_read() -> None:
    status = read_status(RUNNING, "chatbot")
    assert status == ServeStatus("RUNNING", "", 2, (Replica("a", "RUNNING", 5), Replica("b", "STARTING", None)))


def test_an_application_that_is_not_there_has_not_started() -> None:
    assert read_status({"applications": {}}, "chatbot").status == "NOT_STARTED"


def test_both_messages_of_a_failure_are_told() -> None:
    app = {"status": "DEPLOY_FAILED", "message": "failed", "deployments": {"Chat": {"message": "because"}}}
    assert read_status({"applications": {"chatbot": app}}, "chatbot").message == "failed because"


def test_the_token_goes_with_every_call() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=RUNNING)

    dashboard = Dashboard("http://ray", "secret", transport=httpx.MockTransport(handler))
    assert dashboard.is_up()
    dashboard.put({"applications": []})
    assert dashboard.status("chatbot").target_replicas == 2
    assert [request.method for request in seen] == ["GET", "PUT", "GET"]
    assert {request.headers["authorization"] for request in seen} == {"Bearer secret"}
    assert json.loads(seen[1].content) == {"applications": []}


def test_a_wrong_token_is_not_up_and_an_error() -> None:
    dashboard = Dashboard("http://ray", "old", transport=httpx.MockTransport(lambda _: httpx.Response(401)))
    assert not dashboard.is_up()
    with pytest.raises(httpx.HTTPStatusError):
        dashboard.put({})


def test_of_a_traceback_the_line_is_told_that_says_what_it_is_about() -> None:
    told = "Deploying app 'chatbot' failed with exception:\nTraceback\n  File x\nSetupError: runner.kind: wrong\n"
    app = {"status": "DEPLOY_FAILED", "message": told, "deployments": {}}
    assert read_status({"applications": {"chatbot": app}}, "chatbot").message == "SetupError: runner.kind: wrong"
