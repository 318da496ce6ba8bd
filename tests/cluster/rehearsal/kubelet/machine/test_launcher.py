from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.rehearsal.kubelet.machine.launcher import inside

ASK_FOR_DEATH_SIGNAL = """
import ctypes, sys
from cluster.rehearsal.kubelet.machine import launcher
user = {"dropped_capabilities": [], "groups": [], "gid": 65534, "uid": 65534, "no_new_privileges": True}
launcher.end_with_parent()
launcher.become_user(user)
number = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(number), 0, 0, 0)  # PR_GET_PDEATHSIG
print(number.value)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run/lock").mkdir(parents=True)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "up").symlink_to("../../../etc")
    (tmp_path / "loop").symlink_to("/loop")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/", ""),
        ("/models/new", "models/new"),
        ("/var/run/secrets", "run/secrets"),
        ("/up/passwd", "etc/passwd"),
        ("/var/../../../run", "run"),
    ],
)
def test_paths_are_followed_as_a_process_with_that_root_would(root: Path, path: str, leads_to: str) -> None:
    assert inside(root, path) == root / leads_to


def test_a_link_that_leads_to_itself_is_refused(root: Path) -> None:
    with pytest.raises(OSError, match="too many levels"):
        inside(root, "/loop")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_container_of_another_user_is_killed_with_its_kubelet_too() -> None:
    done = subprocess.run([sys.executable, "-c", ASK_FOR_DEATH_SIGNAL], capture_output=True, text=True, check=True)
    assert int(done.stdout) == signal.SIGKILL
