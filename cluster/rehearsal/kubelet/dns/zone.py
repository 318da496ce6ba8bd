"""Which addresses a name has: from Services and EndpointSlices, as the cluster's DNS answers.

One thing differs: the name of a ClusterIP service leads to its ready pods, too. That stands in for kube-proxy, which is
not here; a service whose port differs from its pods' port cannot be reached by name then, and `unreachable_ports` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.objects import dig, mapping, mappings, sequence, text

DOMAIN = "cluster.local"
_SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Zone:
    """Names below `DOMAIN`, in lower case, each with its IPv4 addresses; a name with none exists all the same."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def lookup(self, name: str) -> tuple[str, ...] | None:
        """None where there is no such name."""
        return self.names.get(name.rstrip(".").lower())


def build(services: Iterable[Mapping[str, Any]], slices: Iterable[Mapping[str, Any]], api_server: str) -> Zone:
    """`api_server` is the address that stands for the service `kubernetes`."""
    found: dict[str, list[str]] = {}
    for slice_ in slices:
        for name, address in _endpoints(slice_):
            found.setdefault(name, []).append(address)
    for service in services:  # headless ones without a ready pod have no name, those with a ClusterIP do
        if dig(service, "spec", "clusterIP") not in {None, "", "None"}:
            found.setdefault(_name(service), [])
    found[f"kubernetes.default.svc.{DOMAIN}"] = [api_server]
    return Zone({name: tuple(dict.fromkeys(addresses)) for name, addresses in found.items()})


def unreachable_ports(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]]) -> list[str]:
    """The ports of a ClusterIP service that lead nowhere here, because its pods listen on another.

    A target port that has a name has a number as soon as one of `slices` says which.
    """
    if dig(service, "spec", "clusterIP") in {None, "", "None"} or _name(service).startswith("kubernetes.default."):
        return []
    numbers = {
        text(port.get("name")): port.get("port")
        for slice_ in slices
        if _service_name(slice_) == _name(service)
        for port in mappings(slice_.get("ports"))
    }
    found = []
    for port in mappings(dig(service, "spec", "ports")):
        target = port.get("targetPort")
        number = target if isinstance(target, int) else numbers.get(text(port.get("name")))
        if isinstance(number, int) and number != port.get("port"):
            found.append(f"{text(port.get('port'))}->{number}" + ("" if number == target else f" ({text(target)})"))
    return found


def _endpoints(slice_: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and address of each endpoint that is ready; those of services that publish others, too, are said to be."""
    name = _service_name(slice_)
    if not name or slice_.get("addressType") != "IPv4":
        return
    for endpoint in mappings(slice_.get("endpoints")):
        if dig(endpoint, "conditions", "ready") is False:
            continue
        for address in map(text, sequence(endpoint.get("addresses"))):
            yield name, address
            if hostname := text(endpoint.get("hostname")):
                yield f"{hostname.lower()}.{name}", address


def _service_name(slice_: Mapping[str, Any]) -> str:
    """The name of the service whose endpoints these are, empty for nobody's."""
    metadata = mapping(slice_.get("metadata"))
    service = text(dig(metadata, "labels", _SERVICE_LABEL))
    return f"{service}.{text(metadata.get('namespace'))}.svc.{DOMAIN}".lower() if service else ""


def _name(service: Mapping[str, Any]) -> str:
    metadata = mapping(service.get("metadata"))
    return f"{text(metadata.get('name'))}.{text(metadata.get('namespace'))}.svc.{DOMAIN}".lower()
