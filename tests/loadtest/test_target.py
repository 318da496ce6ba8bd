"""Flags over environment over what the deployed target wrote down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.errors import UsageError
from loadtest.settings import Settings
from loadtest.target import Given, Target, resolve


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Settings()


def deployed(settings: Settings, tmp_path: Path, **more: str) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    state = settings.state_file("local")
    state.parent.mkdir(parents=True, exist_ok=True)
    addresses = {"base_url": "http://127.0.0.1:8001", "dashboard_url": "http://127.0.0.1:8265"}
    state.write_text(json.dumps(addresses | {"dashboard_token_file": str(token), "run": "x"} | more))


def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    entry = {
        "name": "a",
        "context": {"cluster": "a", "user": "a"},
        "cluster": {"server": "http://127.0.0.1:1"},
        "user": {},
    }
    kinds = {kind: [entry] for kind in ("clusters", "contexts", "users")}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "a", **kinds}))
    return path


def where(
    settings: Settings, name: str = "local", *, base_url: str | None = None, dashboard_url: str | None = None
) -> Target:
    return resolve(name, settings, Given(base_url=base_url, dashboard_url=dashboard_url))


def test_a_deployed_target_is_found_and_watched(settings: Settings, tmp_path: Path) -> None:
    deployed(settings, tmp_path)
    found = where(settings)
    assert found.described() == {"name": "local", "base_url": "http://127.0.0.1:8001", "class": "loopback"}
    assert [observer.name for observer in found.observers] == ["serve"]


def test_without_a_deployment_local_is_port_8000_and_nobody_watches(settings: Settings) -> None:
    found = where(settings)
    assert str(found.endpoint) == "http://127.0.0.1:8000"
    assert found.observers == ()


def test_another_address_is_not_watched_through_the_local_dashboard(settings: Settings, tmp_path: Path) -> None:
    deployed(settings, tmp_path)
    assert where(settings, base_url="http://example.org").observers == ()
    assert where(settings, base_url="http://example.org").described()["class"] == "remote"
    assert len(where(settings, base_url="http://example.org", dashboard_url="http://example.org:8265").observers) == 1


def test_the_token_of_what_was_deployed_goes_to_no_other_dashboard(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(settings, tmp_path)
    tokens: list[str | None] = []
    monkeypatch.setattr("loadtest.target.HttpDashboard", lambda _url, token: tokens.append(token))
    where(settings)
    where(settings, dashboard_url="http://example.org:8265")
    assert tokens == ["secret", None]


def test_another_address_in_the_environment_is_not_watched_through_what_was_deployed_either(
    settings: Settings, tmp_path: Path
) -> None:
    deployed(settings, tmp_path)
    elsewhere = settings.model_copy(update={"base_url": "http://example.org"})
    assert where(elsewhere).observers == ()
    deployed(settings, tmp_path, kubeconfig=str(kubeconfig(tmp_path)))
    assert where(elsewhere).observers == ()
    assert len(where(settings).observers) == 2
    both = elsewhere.model_copy(update={"kubeconfig": kubeconfig(tmp_path)})
    assert len(where(both).observers) == 2


def test_a_kubeconfig_that_a_flag_names_goes_over_a_dashboard_of_the_environment(
    settings: Settings, tmp_path: Path
) -> None:
    dashboard = settings.model_copy(update={"dashboard_url": "http://127.0.0.1:8265"})
    found = resolve("local", dashboard, Given(kubeconfig=kubeconfig(tmp_path)))
    assert [observer.name for observer in found.observers] == ["serve", "kubernetes"]


@pytest.mark.parametrize("cluster", [Given(kubeconfig=Path("some")), Given(context="some")])
def test_two_ways_to_watch_are_a_usage_error(settings: Settings, cluster: Given) -> None:
    with pytest.raises(UsageError, match="give one of them"):
        resolve("local", settings, replace(cluster, dashboard_url="http://127.0.0.1:8265"))


def test_a_target_without_an_address_is_a_usage_error(settings: Settings) -> None:
    with pytest.raises(UsageError, match="target eks has no known address"):
        where(settings, "eks")


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_state_that_is_no_json_object_is_a_usage_error(settings: Settings, text: str) -> None:
    state = settings.state_file("local")
    state.parent.mkdir(parents=True)
    state.write_text(text)
    with pytest.raises(UsageError, match=f"{state}.*: deploy the target again"):
        where(settings)


def test_a_token_file_that_is_missing_is_a_usage_error(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the token"):
        resolve("local", settings, Given(dashboard_url="http://127.0.0.1:1", token_file=tmp_path / "none"))


def test_a_report_holds_neither_key_nor_token(settings: Settings, tmp_path: Path) -> None:
    deployed(settings, tmp_path)
    keyed = settings.model_copy(update={"api_key": "very-secret"})
    assert "secret" not in json.dumps(where(keyed).described())
    assert "secret" not in str(where(keyed).endpoint)
