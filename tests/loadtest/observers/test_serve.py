"""Ray's JSON -> events; the golden Serve speaks for a deployment that scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtest.errors import UsageError
from loadtest.observers import Observation, ObserverError, ScalingRule, TargetSilent
from loadtest.observers.dashboard import HttpDashboard
from loadtest.observers.serve import ServeObserver
from loadtest.observers.serve_snapshot import Snapshot
from tests.support import recorded
from tests.support.golden_process import golden
from tests.support.golden_serve import GoldenServe


def observer(document: Any, *, status: int = 200, with_token: bool = True) -> tuple[ServeObserver, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json=document() if callable(document) else document)

    token = "secret" if with_token else None
    return ServeObserver(HttpDashboard("http://dashboard", token=token, transport=httpx.MockTransport(answer))), asked


def play(serve: GoldenServe, instants: list[float]) -> list[Observation]:
    serve.begin(0.0)
    now = iter(instants)
    looking, _ = observer(lambda: serve.document(next(now)))
    found = []
    for at_s in instants:
        if at_s == 10:
            serve.end(10.0)
        found.append(looking.look(at_s))
    return found


def test_a_scale_out_and_in_is_seen_link_by_link() -> None:
    looks = play(GoldenServe(up_s=1, start_s=1, ready_s=1, down_s=2, drain_s=1), [0, 1, 2, 3, 10, 12, 13])
    events = [(event.stage, event.at_s, event.subject) for look in looks for event in look.events]
    assert events == [
        ("serve-target-raised", 1, ""),
        ("replica-started", 2, "replica:golden-1"),
        ("replica-running", 3, "replica:golden-1"),
        ("serve-target-lowered", 12, ""),
        ("replica-drained", 13, "replica:golden-1"),
    ]


def test_the_first_look_is_the_baseline_and_no_event() -> None:
    looking, _ = observer(GoldenServe().document(0.0))
    first = looking.look(0.0)
    assert first.events == ()
    assert first.replicas == ("golden-0",)
    assert first.rule == ScalingRule(1, 2, 2.0, max_ongoing_requests=8)
    assert {sample.name: sample.value for sample in first.samples} == {
        "replicas_target": 1, "replicas_running": 1, "replicas_present": 1,
    }  # fmt: skip


def test_a_replica_without_a_process_is_evidence_and_no_start() -> None:
    looks = play(GoldenServe(up_s=1, broken="replica-started"), [0, 5])
    assert [event.stage for event in looks[1].events] == ["serve-target-raised"]
    assert any("golden-1 STARTING (no process yet)" in line for line in looks[1].evidence)
    assert any("no CPU is left" in line for line in looks[1].evidence)


def test_rays_token_is_sent_where_there_is_one() -> None:
    looking, asked = observer(GoldenServe().document(0.0))
    looking.look(0.0)
    assert asked[0].headers["x-ray-authorization"] == "Bearer secret"
    looking, asked = observer(GoldenServe().document(0.0), with_token=False)
    looking.look(0.0)
    assert "x-ray-authorization" not in asked[0].headers


@pytest.mark.parametrize(
    ("document", "status", "said"),
    [
        ({}, 401, "401: give Ray's token"),
        ({}, 500, "Ray's dashboard answers 500"),
        ([], 200, "not an object"),
        ({"applications": {}}, 200, "Serve has no deployment Chat in application chatbot (applications: none)"),
        ({"applications": {"other": {"deployments": {}}}}, 200, "(applications: other)"),
    ],
)
def test_what_cannot_be_read_is_an_error_in_one_sentence(document: Any, status: int, said: str) -> None:
    looking, _ = observer(document, status=status)
    with pytest.raises(ObserverError) as raised:
        looking.look(0.0)
    assert said in str(raised.value)


def test_a_dashboard_that_is_gone_is_an_error() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    looking = ServeObserver(HttpDashboard("http://dashboard", transport=httpx.MockTransport(refuse)))
    with pytest.raises(ObserverError, match="does not answer: refused"):
        looking.look(0.0)


def test_a_dashboard_that_takes_the_question_and_says_nothing_does_not_answer_for_serve() -> None:
    def hang(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out")

    looking = ServeObserver(HttpDashboard("http://dashboard", transport=httpx.MockTransport(hang)))
    with pytest.raises(
        ObserverError, match=r"^Ray's dashboard does not answer for Serve, nor for anything else"
    ) as raised:
        looking.look(0.0)
    assert not isinstance(raised.value, TargetSilent)


def test_a_dashboard_that_answers_and_whose_serve_does_not_has_found_something() -> None:
    def hang(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api/serve/"):
            raise httpx.ReadTimeout("timed out")
        return httpx.Response(200, json={"version": "4"})

    looking = ServeObserver(HttpDashboard("http://dashboard", transport=httpx.MockTransport(hang)))
    with pytest.raises(TargetSilent, match=r"^Ray's dashboard does not answer for Serve, whose controller it asks"):
        looking.look(0.0)


@pytest.mark.parametrize("url", ["127.0.0.1:8265", "localhost:8265", "http://127.0.0.1:http", "http://[::1", "ftp://x"])
def test_an_address_that_nobody_can_ask_is_refused_before_the_load(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        HttpDashboard(url)
    assert str(raised.value) == f"`{url}` is no address of Ray's dashboard: give http://HOST:PORT"


def test_a_dashboard_on_loopback_is_asked_whatever_proxy_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with golden(tmp_path, serve={}) as server:
        dashboard = HttpDashboard(server.url, token="secret")
        assert ServeObserver(dashboard).look(0.0).replicas == ("golden-0",)
        dashboard.close()


@pytest.mark.parametrize(("most", "told"), [(1, True), (2, False), (8, False)])
def test_a_replica_that_takes_less_than_the_target_is_why_serve_adds_none(most: int, told: bool) -> None:
    document = GoldenServe().document(0.0)
    config = document["applications"]["chatbot"]["deployments"]["Chat"]["deployment_config"]
    config["max_ongoing_requests"] = most
    looking, _ = observer(document)
    said = [cause.text for cause in looking.look(0.0).causes if cause.stage == "serve-target-raised"]
    assert bool(said) == told
    assert all(text.startswith("max_ongoing_requests is 1 and target_ongoing_requests 2") for text in said)


def test_a_fixed_number_of_replicas_has_no_rule() -> None:
    document = GoldenServe().document(0.0)
    del document["applications"]["chatbot"]["deployments"]["Chat"]["deployment_config"]["autoscaling_config"]
    looking, _ = observer(document)
    assert looking.look(0.0).rule is None


def test_what_a_real_ray_answered_is_understood() -> None:
    looking, _ = observer(recorded.load("serve_applications"))
    look = looking.look(0.0)
    assert look.rule == ScalingRule(1, 2, 6.0, max_ongoing_requests=124, look_back_period_s=12.0)
    assert look.replicas == ("y6hn1fo0", "u78jvmgd")
    assert {sample.name: sample.value for sample in look.samples}["replicas_target"] == 2


def test_a_replica_whose_constructor_raised_before_anybody_saw_it_was_started_where_rays_message_says() -> None:
    document = GoldenServe().document(0.0)
    application = document["applications"]["chatbot"]
    application["status"] = "DEPLOY_FAILED"
    application["deployments"]["Chat"] |= {
        "replicas": [],
        "message": "The deployment failed to start 3 times in a row. Error:\nray::ServeReplica:chatbot:Chat.initialize() "
        "(pid=245, ip=10.88.8.26, actor_id=a39206b2631e2667aa)\nSetupError: there is no model x.",
    }
    looking, asked = observer(document)
    looking._last = Snapshot(0.0, 0, {}, "", "", None)
    seen = looking.look(1.0)
    started = [(event.stage, event.subject, event.on) for event in seen.events if event.subject]
    assert started == [("replica-started", "replica:actor-a39206b2", "ip:10.88.8.26")]
    assert any("a39206b2631e2667aa" in str(request.url) for request in asked)
    (told,) = {cause.text for cause in seen.causes if cause.stage == "model-loaded"}
    assert told.endswith("SetupError: there is no model x")
    assert not [event for event in looking.look(2.0).events if event.subject]
