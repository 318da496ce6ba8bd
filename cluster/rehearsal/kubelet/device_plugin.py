"""The SIMULATED Neuron device plugin: what the DaemonSet's container runs on a simulated node.

The real one finds /dev/neuron* and tells the kubelet over a socket; here are neither. This one waits as long as the
scenario says, reads its node's instance type, and writes the same resources into the node's status with its pod's own
service account: without the DaemonSet, its account or its role, the node stays without them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import ssl
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.instance_types import NEURON, NEURON_CORE, table
from cluster.objects import dig, text
from cluster.settings import from_environment

DELAY_VARIABLE = "SIMULATED_DEVICE_PLUGIN_DELAY_S"  # set by the kubelet's image table
NEURON_DEVICE = "aws.amazon.com/neurondevice"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LOOK_AGAIN_S = 10.0  # whether they are still there: who else writes the node's status might drop them
_TIMEOUT_S = 30.0
_log = logging.getLogger("simulated-neuron-device-plugin")


class Denied(ClusterError):
    """The API server does not do what we ask, and will not when it is asked again."""


class NoAnswer(ClusterError):
    """The API server did not answer, or is too busy to; or this pod's token is not there to ask with."""


@dataclass(frozen=True, slots=True)
class NodeApi:
    """One node, by the account of this pod."""

    host: str
    port: int
    name: str
    account: Path = _ACCOUNT

    def read(self) -> Mapping[str, Any]:
        """The node. Raises Denied, NoAnswer."""
        return self._ask("GET", f"/api/v1/nodes/{self.name}", None)

    def advertise(self, amounts: Mapping[str, str]) -> None:
        """Both as what it has and as what pods can have. Raises Denied, NoAnswer."""
        status = {"capacity": dict(amounts), "allocatable": dict(amounts)}
        self._ask("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": status})

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        try:
            status, content = self._exchange(method, path, json.dumps(body) if body else None)
            document = json.loads(content or b"{}")
        except (OSError, HTTPException, ValueError) as error:
            raise NoAnswer(f"{method} {path}: {error}") from error
        if status >= 400:
            is_busy = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
            what = NoAnswer if is_busy else Denied
            raise what(f"{method} {path}: {status} {text(dig(document, 'message'))}")
        return document if isinstance(document, dict) else {}

    def _exchange(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        """Status and content. Raises OSError also for a token or a certificate that is not there yet."""
        trust = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        token = (self.account / "token").read_text("ascii")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
        with contextlib.closing(HTTPSConnection(self.host, self.port, context=trust, timeout=_TIMEOUT_S)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


def amounts(node: Mapping[str, Any]) -> dict[str, str]:
    """What the real plugin finds on a node of that instance type; nothing where it has no Neuron device."""
    found = table().get(text(dig(node, "metadata", "labels", INSTANCE_TYPE)))
    if found is None or not found.neuron_devices:
        return {}
    devices = str(found.neuron_devices)
    return {NEURON: devices, NEURON_DEVICE: devices, NEURON_CORE: str(found.neuron_cores)}


def missing(node: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether the node does not say all of it."""
    return any(
        text(dig(node, "status", field, name)) != amount
        for field in ("capacity", "allocatable")
        for name, amount in wanted.items()
    )


def main() -> int:
    """Runs until it gets a TERM; exit code 1 where it cannot do its work."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    environment = from_environment().environment
    name, delay_s = environment.get("NODE_NAME", ""), float(environment.get(DELAY_VARIABLE, "0"))
    if not name or "KUBERNETES_SERVICE_HOST" not in environment:
        _log.error("This is a pod's program: NODE_NAME and KUBERNETES_SERVICE_HOST have to be in its environment.")
        return 1
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    _log.info("SIMULATED: no Neuron device is on this machine; node %s gets its resources in %g s", name, delay_s)
    port = int(environment.get("KUBERNETES_SERVICE_PORT_HTTPS", "443"))
    api = NodeApi(environment["KUBERNETES_SERVICE_HOST"], port, name)
    end.wait(delay_s)
    while not end.is_set():
        try:
            _keep(api)
        except NoAnswer as error:
            _log.warning("asked again in %g s: %s", _LOOK_AGAIN_S, error)
        except Denied as error:
            _log.error("%s", error)
            return 1
        end.wait(_LOOK_AGAIN_S)
    return 0


def _keep(api: NodeApi) -> None:
    node = api.read()
    wanted = amounts(node)
    if not wanted:
        _log.warning("the instance type of node %s has no Neuron device: nothing to advertise", api.name)
    elif missing(node, wanted):
        api.advertise(wanted)
        _log.info("SIMULATED: node %s now has %s", api.name, ", ".join(f"{k}={v}" for k, v in wanted.items()))


if __name__ == "__main__":
    sys.exit(main())
