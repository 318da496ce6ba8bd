from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cluster.errors import Refused
from cluster.rehearsal import namespaces


def test_without_the_tools_the_sentence_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refused, match="install the package util-linux"):
        namespaces.refuse_without_namespaces()


def test_where_they_are_not_allowed_the_sentence_says_which_right_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = ("sh", "-c", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    monkeypatch.setattr(namespaces, "UNSHARE", refusal)
    with pytest.raises(Refused, match=r"the right to make network, mount and pid namespaces.*Operation not permitted"):
        namespaces.refuse_without_namespaces()


def test_children_are_found_by_the_pid_that_they_know_themselves_by() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert namespaces.host_pids(os.getpid())[child.pid] == child.pid
        child.communicate(b"\n")
