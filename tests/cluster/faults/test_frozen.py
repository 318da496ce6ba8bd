import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import NotReady
from cluster.faults.frozen import frozen

SLEEP = "import sys, time; print('up', flush=True); time.sleep(60)"


def state(pid: int) -> str:
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2].split()[0]


def settled(pid: int, wanted: str) -> bool:
    """A signal to another process arrives a moment later."""
    return any(state(pid) == wanted for _ in range(100_000))


def test_a_process_below_the_lab_hangs_and_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP, "a-name-of-ours"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with frozen(["a-name-of-ours"], os.getpid()):
            assert settled(child.pid, "T")
        assert settled(child.pid, "S")
        child.kill()


def test_a_name_that_nobody_below_the_lab_has_is_an_error() -> None:
    with pytest.raises(NotReady, match="called a-name-of-nobody"), frozen(["a-name-of-nobody"], os.getpid()):
        pass
