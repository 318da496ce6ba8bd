"""Against a kubectl of our own, which says what the real one says and forwards nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import NotReady
from cluster.port_forward import Forward


def forward(folder: Path, script: str) -> Forward:
    command = folder / "kubectl"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    return Forward(str(command), {"PATH": "/usr/bin:/bin"}, "chatbot", "chatbot-serve-svc", 8000, 0)


def test_the_way_is_open_inside_and_closed_outside(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"echo $$ > {pid}; echo 'Forwarding from 127.0.0.1:43210 -> 8000'; exec sleep 600"
    with forward(tmp_path, script).open() as base_url:
        assert base_url == "http://127.0.0.1:43210"
        assert Path(f"/proc/{pid.read_text().strip()}").exists()
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_what_kubectl_says_is_the_reason(tmp_path: Path) -> None:
    script = "echo 'error: unable to forward port because pod is not running' >&2; exit 1"
    with pytest.raises(NotReady, match="pod is not running"), forward(tmp_path, script).open():
        pass


def test_the_command_is_one_that_a_person_can_type(tmp_path: Path) -> None:
    assert forward(tmp_path, "").shown() == "kubectl -n chatbot port-forward service/chatbot-serve-svc :8000"
