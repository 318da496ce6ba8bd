from __future__ import annotations

from typing import Any

from cluster.rehearsal.kubelet.dns.zone import build, unreachable_ports


def service(name: str, cluster_ip: str = "None", ports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"clusterIP": cluster_ip, "ports": ports or []}}


def endpoints(service_name: str, *found: dict[str, Any], kind: str = "IPv4") -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service_name}
    return {"metadata": {"namespace": "ns", "labels": labels}, "addressType": kind, "endpoints": list(found)}


def endpoint(address: str, *, ready: bool | None = True, hostname: str = "") -> dict[str, Any]:
    return {"addresses": [address], "conditions": {"ready": ready}, **({"hostname": hostname} if hostname else {})}


def test_a_services_name_leads_to_its_ready_pods() -> None:
    slices = [
        endpoints("web", endpoint("10.88.8.1"), endpoint("10.88.8.2", ready=False)),
        endpoints("web", endpoint("10.88.8.3", ready=None)),
    ]
    zone = build([service("web", "10.96.0.9")], slices, "10.88.7.1")
    assert zone.lookup("web.ns.svc.cluster.local.") == ("10.88.8.1", "10.88.8.3")
    assert zone.lookup("WEB.ns.svc.cluster.local") == ("10.88.8.1", "10.88.8.3")


def test_names_that_nobody_has_do_not_exist() -> None:
    zone = build([service("web")], [endpoints("web", endpoint("10.88.8.1"))], "10.88.7.1")
    for name in ("other.ns.svc.cluster.local", "web", "web.ns", "example.com", "p.web.ns.svc.cluster.local"):
        assert zone.lookup(name) is None


def test_without_a_ready_pod_a_headless_name_is_gone_and_the_other_has_no_address() -> None:
    zone = build([service("headless"), service("virtual", "10.96.0.9")], [], "10.88.7.1")
    assert zone.lookup("headless.ns.svc.cluster.local") is None
    assert zone.lookup("virtual.ns.svc.cluster.local") == ()


def test_a_pod_with_a_hostname_has_a_name_below_its_service() -> None:
    zone = build([service("web")], [endpoints("web", endpoint("10.88.8.1", hostname="head"))], "10.88.7.1")
    assert zone.lookup("head.web.ns.svc.cluster.local") == ("10.88.8.1",)


def test_other_address_families_are_left_out() -> None:
    assert (
        build([], [endpoints("web", endpoint("fd00::1"), kind="IPv6")], "").lookup("web.ns.svc.cluster.local") is None
    )


def test_the_api_server_is_found_by_its_services_name() -> None:
    assert build([], [], "10.88.7.1").lookup("kubernetes.default.svc.cluster.local") == ("10.88.7.1",)


def test_ports_that_a_proxy_would_have_to_map_are_named() -> None:
    ports: list[dict[str, Any]] = [
        {"port": 80, "targetPort": 8000},
        {"port": 8000, "targetPort": 8000},
        {"port": 1, "targetPort": "name"},
    ]
    assert unreachable_ports(service("web", "10.96.0.9", ports), []) == ["80->8000"]
    assert unreachable_ports(service("web", "None", ports), []) == []


def test_a_port_that_leads_to_a_named_one_is_named_once_an_endpoint_says_its_number() -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "same", "port": 9000, "targetPort": "metrics"}]
    numbers = [{"name": "http", "port": 8080}, {"name": "same", "port": 9000}]
    others = {**endpoints("other"), "ports": [{"name": "http", "port": 81}]}
    assert unreachable_ports(service("web", "10.96.0.9", ports), [others]) == []
    slices = [{**endpoints("web"), "ports": numbers}, others]
    assert unreachable_ports(service("web", "10.96.0.9", ports), slices) == ["80->8080 (web)"]
