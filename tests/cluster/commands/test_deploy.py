from __future__ import annotations

import pytest

from cluster.cli import main
from cluster.commands.deploy import _settings


def test_assignments_become_groups() -> None:
    assert _settings(["runner.slots=4", "runner.kind=simulated", "deployment.ray_actor_options={num_cpus: 0.5}"]) == {
        "runner": {"slots": 4, "kind": "simulated"},
        "deployment": {"ray_actor_options": {"num_cpus": 0.5}},
    }


@pytest.mark.parametrize("wrong", ["slots=4", "runner.slots", "a.b.c=1", "runner.slots=[", ".slots=4"])
def test_a_wrong_assignment_is_one_sentence_and_exit_code_2(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "local", "--set", wrong]) == 2
    assert f"--set {wrong}" in capsys.readouterr().err


def test_an_unknown_target_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "moon"]) == 2
    assert "moon" in capsys.readouterr().err
