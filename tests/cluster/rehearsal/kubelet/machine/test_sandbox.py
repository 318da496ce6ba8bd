from __future__ import annotations

from pathlib import Path

import pytest

from cluster.rehearsal.kubelet.machine import sandbox
from cluster.rehearsal.kubelet.machine.sandbox import MountFailed, Sandbox, files_of_etc
from tests.support.kubelet_pods import pod


def test_a_pod_finds_names_of_its_namespace_by_the_clusters_dns() -> None:
    files = files_of_etc(pod(), "10.88.8.1", "10.88.7.1")
    assert files["resolv.conf"] == (
        "nameserver 10.88.7.1\nsearch ns.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    )
    assert files["hostname"] == "p\n"
    assert "10.88.8.1\tp\n" in files["hosts"]


def test_a_subdomain_and_aliases_stand_in_hosts() -> None:
    aliases = [{"ip": "10.0.0.9", "hostnames": ["old", "older"]}]
    hosts = files_of_etc(pod(hostname="h", subdomain="web", hostAliases=aliases), "10.88.8.1", "")["hosts"]
    assert "10.88.8.1\th.web.ns.svc.cluster.local\th\n" in hosts
    assert "10.0.0.9\told\tolder\n" in hosts


def test_a_pods_own_dns_config_is_added_or_stands_alone() -> None:
    config = {"nameservers": ["10.0.0.2"], "searches": ["corp"], "options": [{"name": "ndots", "value": "1"}]}
    added = files_of_etc(pod(dnsConfig=config), "", "10.88.7.1")["resolv.conf"]
    assert added.splitlines() == [
        "nameserver 10.88.7.1",
        "nameserver 10.0.0.2",
        "search ns.svc.cluster.local svc.cluster.local cluster.local corp",
        "options ndots:5 ndots:1",
    ]
    alone = files_of_etc(pod(dnsConfig=config, dnsPolicy="None"), "", "10.88.7.1")["resolv.conf"]
    assert alone.splitlines() == ["nameserver 10.0.0.2", "search corp", "options ndots:1"]


def test_a_mount_that_was_refused_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted: list[Path] = []
    refused = iter([False, True, False])

    def tmpfs(target: Path, _options: str) -> None:
        if next(refused):
            raise MountFailed("the kernel is out of memory")
        mounted.append(target)

    monkeypatch.setattr(sandbox, "tmpfs", tmpfs)
    monkeypatch.setattr(Path, "is_mount", lambda path: path in mounted)
    place = Sandbox(tmp_path, None)
    with pytest.raises(MountFailed):
        place.make({})
    place.make({})
    assert mounted == [place.memory, place.memory / "shm"]
