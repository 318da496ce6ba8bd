from __future__ import annotations

from pathlib import Path

from cluster.targets.local import ray_head
from cluster.targets.local.folder import LocalFolder
from cluster.targets.local.target import RECOVERY_S

FOLDER = LocalFolder(Path("/home/somebody-with-a-long-name/.cache/trainium-chatbot/local"))
PORTS = {name: 20_000 + i for i, name in enumerate(ray_head.PORTS)}


def test_haproxy_leaves_the_longest_answer_alone_when_it_reloads() -> None:
    variables = ray_head.variables(FOLDER, PORTS, longest_answer_s=600.5)
    assert float(variables["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) >= 630


def test_ray_is_closed_by_a_token_of_our_own_and_stays_on_loopback() -> None:
    variables = ray_head.variables(FOLDER, PORTS, longest_answer_s=300)
    assert variables["RAY_AUTH_MODE"] == "token"
    assert variables["RAY_AUTH_TOKEN_PATH"] == str(FOLDER.token)
    assert variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert "--dashboard-host=127.0.0.1" in ray_head.command(FOLDER, PORTS, num_cpus=2)


def test_a_dead_haproxy_is_missed_long_before_a_deploy_gives_it_up() -> None:
    variables = ray_head.variables(FOLDER, PORTS, longest_answer_s=300)
    assert 3 * float(variables["RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S"]) < RECOVERY_S / 4


def test_every_port_is_used_once() -> None:
    command = ray_head.command(FOLDER, PORTS, num_cpus=2)
    told = [*command, *ray_head.variables(FOLDER, PORTS, longest_answer_s=300).values()]
    for port in PORTS.values():
        assert sum(word.rpartition("=")[2] == str(port) for word in told) == 1


def test_sockets_fit_into_their_addresses() -> None:
    node_id = "f" * 56
    # HAProxy binds under a temporary name: its own, a dot, its pid, `.tmp`.
    assert len(f"{FOLDER.haproxy}/{node_id}/admin.sock.4194304.tmp") <= 107
    assert len(f"{FOLDER.ray}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store") <= 107


def test_what_another_ray_left_in_the_environment_is_not_inherited() -> None:
    environment = ray_head.inherited({"RAY_ADDRESS": "auto", "PATH": "/bin", "PYTHONPATH": "/x"}, Path("/project"))
    assert environment == {"PATH": "/bin", "PYTHONPATH": "/project"}
