from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence

import pytest


def test_a_reader_that_leaves_early_ends_a_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "cluster", "support"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def without(packages: Sequence[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in an environment that lacks these packages, as the locks of the smaller environments do."""
    program = textwrap.dedent(f"""
        import sys
        sys.modules |= dict.fromkeys({list(packages)!r})  # None: the import raises ModuleNotFoundError
        from cluster.cli import main
        sys.exit(main({list(arguments)!r}))
    """)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


CLUSTER = ("kubernetes", "boto3", "cryptography")  # in no requirements/cpu.txt
REHEARSAL = ("moto", "moto.server", "dnslib", "werkzeug")  # nor in cluster.txt


@pytest.mark.parametrize("command", ["deploy", "status", "chat", "destroy"])
def test_the_local_chatbot_needs_no_package_of_a_cluster(command: str) -> None:
    done = without([*CLUSTER, *REHEARSAL], command, "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_local_target_opens_without_the_packages_of_a_cluster() -> None:
    done = without([*CLUSTER, *REHEARSAL], "deploy", "local", "--set", "nonsense")
    assert done.returncode == 2
    assert "write GROUP.NAME=VALUE" in done.stderr


@pytest.mark.parametrize("command", ["lint", "plan", "deploy", "explain", "destroy", "permissions", "cost"])
def test_a_cluster_needs_no_package_of_the_rehearsal(command: str) -> None:
    done = without(REHEARSAL, command, "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_without_its_packages_says_what_to_install() -> None:
    done = without(CLUSTER, "plan", "eks")
    assert done.returncode == 2
    assert "plan needs the package kubernetes" in done.stderr
    assert "make setup-eks" in done.stderr


def test_the_overview_needs_nothing_and_names_every_command() -> None:
    done = without([*CLUSTER, *REHEARSAL], "--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("deploy", "plan", "rehearse", "rehearse-faults"))
