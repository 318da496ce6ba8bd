"""Up, up again, down: what `make deploy` and `make destroy` promise on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.local_deployment import LIMIT_S, LocalDeployment, alive, interrupt, listens, marked_pids

pytestmark = pytest.mark.ray

EXPORTED_WITHIN_S = 60.0  # Ray's workers tell its exporter every 10 s
MISSED_WITHIN_S = 60.0  # Ray's workers look after their raylet now and then, and serve until they miss it
GAUGES_FORGOTTEN_AFTER_S = 35.0  # what is told once only: after two of those, and one for the telling


def test_deploy_twice_chat_and_destroy_without_a_trace(own_folder: LocalDeployment) -> None:
    first = own_folder.deploy()
    assert first.returncode == 0, first.stderr
    assert f"{own_folder.base_url}/ui/" in first.stdout
    pids = marked_pids(own_folder.cache_home)

    second = own_folder.deploy()
    assert second.returncode == 0, second.stderr
    assert "Nothing has changed" in second.stderr
    assert marked_pids(own_folder.cache_home) == pids

    wrong = own_folder.deploy("--set", "runner.nope=1")
    assert (wrong.returncode, wrong.stderr.count("Traceback")) == (2, 0)
    assert "Wrong settings: runner.nope" in wrong.stderr
    assert marked_pids(own_folder.cache_home) == pids  # what serves goes on serving

    chat = own_folder.command("chat", "local", "--prompt", "Hello!")
    assert chat.returncode == 0, chat.stderr
    assert "simulated" in chat.stdout

    status = own_folder.status()
    assert status["healthy"]
    listeners = status["facts"]["listeners"]
    ports = [listener["port"] for listener in listeners]
    exposed = sorted(listener["title"] for listener in listeners if not listener["loopback"])
    assert len(exposed) == 3, exposed  # docs/serving.md names them
    assert sum("bin/haproxy" in title for title in exposed) == 2
    assert sum("ServeReplica" in title for title in exposed) == 1
    assert own_folder.port in ports
    assert own_folder.links() != []

    family = own_folder.family()
    assert len(family) >= len(pids) > 0  # some of Ray's processes have written over the mark
    assert own_folder.destroy().returncode == 0
    assert alive(family) == []
    assert marked_pids(own_folder.cache_home) == []
    assert own_folder.files() == []
    assert [port for port in ports if listens(port)] == []
    assert own_folder.command("status", "local").returncode == 1


def test_what_a_chat_counts_arrives_at_the_address_that_status_tells(own_folder: LocalDeployment) -> None:
    assert own_folder.deploy().returncode == 0
    assert own_folder.command("chat", "local", "--prompt", "Hello!").returncode == 0
    told = own_folder.status()["facts"]["metrics"]
    assert told in own_folder.command("status", "local").stdout
    by_port = {listener["port"]: listener for listener in own_folder.status()["facts"]["listeners"]}
    assert by_port[urlsplit(told).port]["loopback"]

    deadline_s = time.monotonic() + EXPORTED_WITHIN_S
    # The deploy's chat and ours, not the first of their tokens: the exporter may be told in the midst of an answer.
    while (own_folder.exported("ray_chatbot_request_success_total") or 0) < 2:
        assert time.monotonic() < deadline_s, f"{told} never told of two answers"
        time.sleep(1)
    assert (own_folder.exported("ray_chatbot_generation_tokens_total") or 0) > 1
    assert (own_folder.exported("ray_chatbot_step_time_seconds_count") or 0) > 1
    time.sleep(GAUGES_FORGOTTEN_AFTER_S)
    assert own_folder.exported("ray_chatbot_num_slots") == 8  # set once, when the replica started


@pytest.mark.slow
def test_another_config_is_taken_over_by_what_stands(own_folder: LocalDeployment) -> None:
    assert own_folder.deploy().returncode == 0
    leader = own_folder.status()["facts"]["processes"][0]
    changed = own_folder.deploy("--set", "engine.queue_length=3")
    assert changed.returncode == 0, changed.stderr
    assert "Giving Serve the config" in changed.stderr
    assert own_folder.status()["facts"]["processes"][0] == leader


def test_an_interrupted_deploy_removes_what_it_began(own_folder: LocalDeployment) -> None:
    deploying = own_folder.start(*own_folder.deploy_arguments())
    assert deploying.stderr is not None
    for line in deploying.stderr:
        if "Giving Serve the config" in line:
            break
    family = own_folder.family()
    assert family
    interrupt(deploying)
    interrupt(deploying)  # an impatient second one must not stop the removal
    assert deploying.wait(timeout=LIMIT_S) == 130
    deploying.stderr.close()
    assert alive(family) == []
    assert marked_pids(own_folder.cache_home) == []
    assert own_folder.files() == []


def test_destroy_finds_what_a_killed_head_left_behind(own_folder: LocalDeployment) -> None:
    assert own_folder.deploy().returncode == 0
    family = own_folder.family()
    kill(own_folder, r"ray\.scripts|raylet|gcs_server")
    deadline_s = time.monotonic() + MISSED_WITHIN_S
    while own_folder.status()["healthy"]:
        assert time.monotonic() < deadline_s, "it is called healthy without its head"
    assert own_folder.destroy().returncode == 0
    assert alive(family) == []
    assert marked_pids(own_folder.cache_home) == []
    assert own_folder.files() == []
    assert not listens(own_folder.port)


def kill(deployment: LocalDeployment, titles: str) -> None:
    """Every process of it with such a title; Ray may end one for the sake of another that we have killed."""
    for process in deployment.status()["facts"]["processes"]:
        if re.search(titles, process["title"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process["pid"], signal.SIGKILL)


@pytest.mark.slow
def test_deploy_mends_a_front_door_that_was_killed(own_folder: LocalDeployment) -> None:
    assert own_folder.deploy().returncode == 0
    kill(own_folder, r"HAProxyManager|bin/haproxy")
    mended = own_folder.deploy()
    assert mended.returncode == 0, mended.stderr
    assert "Removing" not in mended.stderr  # Serve replaces it while deploy waits
    assert own_folder.command("chat", "local", "--prompt", "Hello!").returncode == 0


def test_a_busy_port_is_refused_with_its_holder(own_folder: LocalDeployment) -> None:
    with socket.create_server(("127.0.0.1", own_folder.port)):
        refused = own_folder.deploy()
    assert refused.returncode == 2
    assert f"Port {own_folder.port} is taken by" in refused.stderr
    assert f"(pid {os.getpid()})" in refused.stderr
    assert marked_pids(own_folder.cache_home) == []


@pytest.mark.slow
def test_an_api_key_is_asked_for_and_sent(own_folder: LocalDeployment, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"somebody:{hashlib.sha256(b'secret').hexdigest()}\n")
    deployed = own_folder.deploy("--set", f"api.api_keys_file={keys}", CHATBOT_API_KEY="secret")
    assert deployed.returncode == 0, deployed.stderr
    refused = own_folder.command("chat", "local", "--prompt", "Hello!")
    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert own_folder.command("chat", "local", "--prompt", "Hello!", CHATBOT_API_KEY="secret").returncode == 0
