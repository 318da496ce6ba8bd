"""One running control plane: etcd, API server, controller manager and scheduler, as children of this process."""

from __future__ import annotations

import contextlib
import datetime
import http
import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cluster.rehearsal import kubeconfig
from cluster.rehearsal.build import Built
from cluster.rehearsal.certificates import Authority, Pair, service_account_key
from cluster.rehearsal.processes import Processes

READY_TIMEOUT_S = 120.0  # three seconds on an idle machine
SERVICE_ADDRESSES = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"  # the first of them, where pods look for the API server
_SERVER_HOSTS = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")

# The lab gives its nodes their addresses itself, and no cloud is there to ask about them.
_CONTROLLERS = "*,-nodeipam,-cloud-node-lifecycle-controller"


@dataclass(frozen=True, slots=True)
class Ports:
    """One for each listener, all on the control plane's address."""

    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int
    scheduler: int

    @classmethod
    def free(cls, address: str) -> Ports:
        """Ports that nobody listens on at this moment."""
        sockets = [socket.create_server((address, 0)) for _ in range(5)]
        try:
            return cls(*(s.getsockname()[1] for s in sockets))
        finally:
            for s in sockets:
                s.close()


class ControlPlane:
    """A context manager: running inside, gone without a trace but its folder outside."""

    def __init__(
        self,
        built: Built,
        home: Path,
        *,
        environment: Mapping[str, str],
        address: str = "127.0.0.1",
        now: datetime.datetime | None = None,
        outlive_starter: bool = False,
    ) -> None:
        """Nothing is started yet. `home` takes certificates, etcd's data and the logs."""
        self._built = built
        self._home = home
        self._environment = environment
        self._address = address
        self._ports = Ports.free(address)
        self._authority = Authority(now=now or datetime.datetime.now(datetime.timezone.utc))
        self._processes = Processes(home / "logs", outlive_starter)

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://{self._address}:{self._ports.api_server}"

    @property
    def admin_kubeconfig(self) -> Path:
        """For a user who may do everything."""
        return self._home / "admin.kubeconfig"

    def kubeconfig_for(self, user: str, *groups: str) -> Path:
        """A kubeconfig for a user who may do what is bound to that name or these groups."""
        path = self._home / f"{user.replace(':', '-')}.kubeconfig"
        return self._write_kubeconfig(path, self._authority.client(user, *groups))

    def start(self, prepare: Callable[[Path], None] = lambda _: None) -> ControlPlane:
        """Return when the API server is ready; the controllers are up a moment later.

        `prepare` gets the administrator's kubeconfig before the controllers start: what it installs they know from
        their first moment, while the garbage collector finds a CRD that comes later after half a minute only.

        Raises ClusterError with the log of whatever does not start; nothing is left running then.
        """
        (self._home / "logs").mkdir(parents=True, exist_ok=True)
        try:
            self._write_certificates()
            self._run("etcd", *self._etcd_flags())
            self._run("kube-apiserver", *self._api_server_flags())
            self._processes.wait_for("kube-apiserver", self._is_ready, timeout_s=READY_TIMEOUT_S)
            prepare(self.admin_kubeconfig)
            self._run("kube-controller-manager", *self._controller_manager_flags())
            self._run("kube-scheduler", *self._scheduler_flags())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every program, the last one started first."""
        self._processes.stop()

    def pids(self) -> dict[str, int]:
        """Of the programs that run, by name."""
        return self._processes.pids()

    def __enter__(self) -> ControlPlane:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self, program: str, *flags: str) -> None:
        self._processes.start(program, [str(self._built.control_plane), program, *flags], environment=self._environment)

    def _is_ready(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self._home / "ca.crt"))
        trust.load_cert_chain(self._home / "admin.crt", self._home / "admin.key")
        # Not urllib: a proxy of the environment must not stand between us and this machine.
        connection = http.client.HTTPSConnection(self._address, self._ports.api_server, context=trust, timeout=2)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False

    def _write_certificates(self) -> None:
        authority = self._authority
        self._write("ca", Pair(authority.certificate, b""))
        addresses = sorted({self._address, "127.0.0.1", KUBERNETES_SERVICE})
        self._write("api-server", authority.server("kube-apiserver", addresses=addresses, hosts=_SERVER_HOSTS))
        self._write("front-proxy", authority.client("front-proxy"))
        self._write("service-account", service_account_key())
        admin = authority.client("admin", "system:masters")
        self._write("admin", admin)
        self._write_kubeconfig(self.admin_kubeconfig, admin)
        for program in ("kube-controller-manager", "kube-scheduler"):
            self._write_kubeconfig(self._home / f"{program}.kubeconfig", authority.client(f"system:{program}"))

    def _write(self, name: str, pair: Pair) -> None:
        (self._home / f"{name}.crt").write_bytes(pair.certificate)
        key = self._home / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(pair.key)

    def _write_kubeconfig(self, path: Path, client: Pair) -> Path:
        return kubeconfig.write(path, server=self.url, authority=self._authority.certificate, client=client)

    def _etcd_flags(self) -> list[str]:
        client, peer = (f"http://{self._address}:{port}" for port in (self._ports.etcd, self._ports.etcd_peer))
        return [
            "--name=rehearsal",
            f"--data-dir={self._home / 'etcd'}",
            "--unsafe-no-fsync",  # a lab's data need not outlive the machine's power
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=rehearsal={peer}",
            "--log-level=warn",
        ]

    def _api_server_flags(self) -> list[str]:
        home = self._home
        return [
            f"--etcd-servers=http://{self._address}:{self._ports.etcd}",
            f"--bind-address={self._address}",
            f"--advertise-address={self._address}",
            f"--secure-port={self._ports.api_server}",
            f"--tls-cert-file={home / 'api-server.crt'}",
            f"--tls-private-key-file={home / 'api-server.key'}",
            f"--client-ca-file={home / 'ca.crt'}",
            f"--service-account-key-file={home / 'service-account.crt'}",
            f"--service-account-signing-key-file={home / 'service-account.key'}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-cluster-ip-range={SERVICE_ADDRESSES}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--requestheader-client-ca-file={home / 'ca.crt'}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={home / 'front-proxy.crt'}",
            f"--proxy-client-key-file={home / 'front-proxy.key'}",
            "--endpoint-reconciler-type=none",
        ]

    def _controller_manager_flags(self) -> list[str]:
        return [
            *self._component_flags("kube-controller-manager", self._ports.controller_manager),
            f"--root-ca-file={self._home / 'ca.crt'}",
            f"--service-account-private-key-file={self._home / 'service-account.key'}",
            "--use-service-account-credentials",
            f"--controllers={_CONTROLLERS}",
        ]

    def _scheduler_flags(self) -> list[str]:
        return self._component_flags("kube-scheduler", self._ports.scheduler)

    def _component_flags(self, program: str, port: int) -> list[str]:
        own = self._home / f"{program}.kubeconfig"
        return [
            f"--kubeconfig={own}",
            f"--authentication-kubeconfig={own}",
            f"--authorization-kubeconfig={own}",
            f"--bind-address={self._address}",
            f"--secure-port={port}",
            "--leader-elect=false",
        ]
