from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.cli import main
from cluster.rehearsal import control, lab
from cluster.settings import from_environment
from cluster.targets.rehearsal import state_file


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of somebody on whose machine no lab runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(control, "ask", lambda *_, **__: None)
    monkeypatch.setattr(control, "holder", lambda: None)
    return tmp_path


def test_where_no_lab_runs_status_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearsal", "status"]) == 1
    assert "python -m cluster rehearsal up" in capsys.readouterr().out
    assert main(["rehearsal", "status", "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"schema": "chatbot.rehearsal-lab/v1", "running": False}


def test_an_unknown_scenario_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    assert main(["rehearsal", "up", "--scenario", "moon"]) == 2
    assert "There is no scenario 'moon': name one of field" in capsys.readouterr().err
    assert list(cache.iterdir()) == []


def test_a_speed_that_no_time_passes_at_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearsal", "up", "--speed", "0"]) == 2
    assert "speed: Input should be greater than 0" in capsys.readouterr().err


def test_without_a_build_up_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearsal", "up"]) == 2
    assert "run: python -m cluster rehearsal build" in capsys.readouterr().err


@pytest.fixture
def deployed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the load test finds the chatbot by; its lab has ended, and the machine's memory groups are left alone."""
    monkeypatch.setattr(lab, "_CGROUPS", cache / "cgroups")
    state = state_file(from_environment())
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    return state


@pytest.mark.parametrize("verb", ["up", "down"])
def test_a_chatbot_whose_lab_is_no_more_is_not_found_any_more(deployed: Path, verb: str) -> None:
    main(["rehearsal", verb])
    assert not deployed.exists()
