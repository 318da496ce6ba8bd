from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import Refused
from cluster.rehearsal import scenario
from cluster.targets.rehearsal.running import find, started_ticks


def lab(home: Path, **changed: Any) -> Path:
    document = {
        "pid": os.getpid(),
        "started_ticks": started_ticks(os.getpid()),
        "kubeconfig": str(home / "admin.kubeconfig"),
        "chat_url": "http://127.0.0.1:1",
        "scenario": replace(scenario.read("field"), speed=20.0).to_json(),
        "components": [{"name": "karpenter", "pid": os.getpid()}],
    }
    (home / "lab.json").write_text(json.dumps({**document, **changed}))
    return home


def test_a_lab_that_runs_says_where_it_is_reached_and_what_it_rehearses(tmp_path: Path) -> None:
    found = find(lab(tmp_path))
    assert (found.kubeconfig, found.chat_url) == (tmp_path / "admin.kubeconfig", "http://127.0.0.1:1")
    assert found.scenario.speed == 20.0
    assert found.components == {"karpenter": os.getpid()}


def test_without_a_lab_one_sentence_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not run on this machine; start it: python -m cluster rehearsal up"):
        find(tmp_path)


def test_a_pid_that_was_given_to_somebody_else_is_no_lab(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not run"):
        find(lab(tmp_path, started_ticks=started_ticks(os.getpid()) - 1))
