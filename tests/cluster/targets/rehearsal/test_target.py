"""The rehearsal's verbs on the real API server; the lab around it, Karpenter and KubeRay are doubles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.client import Api
from cluster.errors import Refused
from cluster.rehearsal import scenario
from cluster.rehearsal.control_plane import ControlPlane
from cluster.rehearsal.lab import Part, Running
from cluster.settings import Settings
from cluster.targets import Options, rehearsal
from tests.support.scripted_chat import ScriptedChat, listening
from tests.support.status_double import StatusDouble

CONTROLLERS = (Part("karpenter", "running", 1, None), Part("kuberay-operator", "running", 2, None))


@pytest.fixture
def address() -> Iterator[str]:
    with listening(ScriptedChat()) as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, {})


def stand(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, chat_url: str, parts: tuple[Part, ...] = CONTROLLERS
) -> None:
    """A lab that says that it runs."""
    running = Running(1, kubeconfig, chat_url, scenario.read("field"), parts)
    monkeypatch.setattr(rehearsal, "running", lambda _settings: running)


@pytest.mark.cluster
def test_what_is_up_can_be_found_by_the_load_test_and_what_is_down_cannot(
    control_plane: ControlPlane,
    api: Api,
    controllers: StatusDouble,
    settings: Settings,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand(monkeypatch, control_plane.admin_kubeconfig, address)
    told: list[str] = []
    target = rehearsal.open_target(settings, told.append, Options())
    assert not target.status().deployed
    assert not rehearsal.state_file(settings).exists()
    rehearsal.open_release(settings, told.append).refuse_without_controllers()  # as `plan` asks it
    target.up()
    state = json.loads(rehearsal.state_file(settings).read_text())
    assert (state["base_url"], state["namespace"], state["rayservice"]) == (address, "chatbot", "chatbot")
    assert {timer["name"] for timer in state["rehearsal"]["timers"]} >= {"downscale_delay_s", "consolidateAfter"}
    assert target.status().base_url == target.endpoint() == address
    assert not any("keep this open" in line for line in told)  # its front door stands open
    told.clear()
    target.up()
    assert "No change" in "\n".join(told)
    target.down()
    assert not rehearsal.state_file(settings).exists()
    assert not target.status().deployed


@pytest.mark.cluster
def test_a_lab_without_a_controller_is_refused_before_the_first_write(
    control_plane: ControlPlane, api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (CONTROLLERS[0], Part("kuberay-operator", "ended", None, 1))
    stand(monkeypatch, control_plane.admin_kubeconfig, "http://127.0.0.1:1", parts)
    target = rehearsal.open_target(settings, lambda _: None, Options())
    with pytest.raises(Refused, match=r"The lab runs without kuberay-operator: .* python -m cluster rehearsal status"):
        target.up()
    with pytest.raises(Refused, match="The lab runs without kuberay-operator"):
        rehearsal.open_release(settings, lambda _: None).refuse_without_controllers()
    assert target.cluster.release.stage.ours(target.cluster.release.desired) == []


def test_without_a_lab_one_sentence_says_how_to_start_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.rehearsal.control.ask", lambda *_, **__: None)
    with pytest.raises(Refused, match="does not run on this machine; start it: python -m cluster rehearsal up"):
        rehearsal.open_target(settings, lambda _: None, Options())


def test_options_of_the_local_target_are_refused(settings: Settings) -> None:
    with pytest.raises(Refused, match="--set and --port are for the local target"):
        rehearsal.open_target(settings, lambda _: None, Options(port=8001))
