"""One control plane: etcd, API server, controller manager and scheduler, as components with their certificates."""

from __future__ import annotations

import dataclasses
import datetime
import shutil
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cluster.ports import free
from cluster.rehearsal import kubeconfig
from cluster.rehearsal.build import Built
from cluster.rehearsal.certificates import Authority, Pair, service_account_key
from cluster.rehearsal.component import Component, answers, start_all
from cluster.rehearsal.processes import Processes

API_SERVER = "kube-apiserver"
SERVICE_ADDRESSES = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"  # the first of them, where pods look for the API server
_IN_CLUSTER = "kubernetes.default.svc"
_SERVER_HOSTS = ("localhost", "kubernetes", "kubernetes.default", _IN_CLUSTER, f"{_IN_CLUSTER}.cluster.local")

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
        """Ports that nobody has. Raises ClusterError where there are too few."""
        return cls(*free(len(dataclasses.fields(cls)), address))


class ControlPlane:
    """Its files and its programs; as a context manager: running inside, gone without a trace but its folder outside."""

    def __init__(
        self,
        built: Built,
        home: Path,
        *,
        environment: Mapping[str, str],
        address: str = "127.0.0.1",
        ports: Ports | None = None,
        first_state: Path | None = None,
        now: datetime.datetime | None = None,
    ) -> None:
        """Nothing is started yet. `home` takes certificates, etcd's data and the logs.

        etcd starts on a copy of the data in `first_state`, else empty.
        """
        self._built = built
        self._home = home
        self._environment = environment
        self._address = address
        self._ports = ports or Ports.free(address)
        self._authority = Authority(now=now or datetime.datetime.now(datetime.timezone.utc))
        self._first_state = first_state
        self._processes = Processes(home / "logs")

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://{self._address}:{self._ports.api_server}"

    @property
    def data(self) -> Path:
        """Where etcd keeps what it holds."""
        return self._home / "etcd"

    @property
    def admin_kubeconfig(self) -> Path:
        """For a user who may do everything."""
        return self._home / "admin.kubeconfig"

    def kubeconfig_for(self, user: str, *groups: str, server: str | None = None) -> Path:
        """A kubeconfig for a user who may do what is bound to that name or these groups, at `server` or here."""
        path = self._home / f"{user.replace(':', '-')}.kubeconfig"
        return self._write_kubeconfig(path, self._authority.client(user, *groups), server or self.url)

    def write_files(self) -> None:
        """Certificates, kubeconfigs and etcd's data, before anything is started."""
        (self._home / "logs").mkdir(parents=True, exist_ok=True)
        if self._first_state is not None:
            shutil.copytree(self._first_state, self.data)
        authority = self._authority
        self._write("ca", Pair(authority.certificate, b""))
        addresses = sorted({self._address, "127.0.0.1", KUBERNETES_SERVICE})
        self._write("api-server", authority.server(API_SERVER, addresses=addresses, hosts=_SERVER_HOSTS))
        self._write("kubelet", authority.server("kubelet", addresses=[self._address], hosts=[]))
        self._write("kubelet-client", authority.client("kube-apiserver-kubelet-client", "system:masters"))
        self._write("front-proxy", authority.client("front-proxy"))
        self._write("service-account", service_account_key())
        admin = authority.client("admin", "system:masters")
        self._write("admin", admin)
        self._write_kubeconfig(self.admin_kubeconfig, admin, self.url)
        for program in ("kube-controller-manager", "kube-scheduler"):
            self._write(program, authority.server(program, addresses=[self._address], hosts=[]))
            client = authority.client(f"system:{program}")
            self._write_kubeconfig(self._home / f"{program}.kubeconfig", client, self.url)

    def components(self) -> list[Component]:
        """The four programs in their order."""
        manager, scheduler = "kube-controller-manager", "kube-scheduler"
        ports = self._ports
        return [
            *self.storage(),
            self._component(
                manager,
                self._controller_manager_flags(manager),
                f"https://{self._address}:{ports.controller_manager}/healthz",
                after=[API_SERVER],
            ),
            self._component(
                scheduler,
                self._controller_flags(scheduler, ports.scheduler),
                f"https://{self._address}:{ports.scheduler}/healthz",
                after=[API_SERVER],
            ),
        ]

    def storage(self) -> list[Component]:
        """The API server and its etcd alone: objects are checked and kept, and nothing comes of them."""
        return [
            self._component("etcd", self._etcd_flags(), f"http://{self._address}:{self._ports.etcd}/health"),
            # It ends itself where etcd does not answer for some seconds, which a busy machine may take to start it.
            self._component(API_SERVER, self._api_server_flags(), f"{self.url}/readyz", after=["etcd"]),
        ]

    def start(self) -> ControlPlane:
        """Return when all of it is ready.

        Raises ClusterError with the log of whatever does not start; nothing is left running then.
        """
        self.write_files()
        try:
            start_all(self.components(), self._processes)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every program, the last one started first."""
        self._processes.stop_all()

    def pids(self) -> dict[str, int]:
        """Of the programs that run, by name."""
        return self._processes.pids()

    def __enter__(self) -> ControlPlane:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _component(
        self,
        program: str,
        flags: list[str],
        ready_url: str,
        *,
        after: Sequence[str] = (),
    ) -> Component:
        command = [str(self._built.control_plane), program, *flags]
        is_ready = answers(ready_url, trust=self.trust() if ready_url.startswith("https") else None)
        return Component(program, command, self._environment, is_ready, after)

    def trust(self) -> ssl.SSLContext:
        """What an administrator shows and trusts, once the files are written."""
        trust = ssl.create_default_context(cafile=str(self._home / "ca.crt"))
        trust.load_cert_chain(self._home / "admin.crt", self._home / "admin.key")
        return trust

    def _write(self, name: str, pair: Pair) -> None:
        (self._home / f"{name}.crt").write_bytes(pair.certificate)
        key = self._home / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(pair.key)

    def _write_kubeconfig(self, path: Path, client: Pair, server: str) -> Path:
        return kubeconfig.write(path, server=server, authority=self._authority.certificate, client=client)

    def _etcd_flags(self) -> list[str]:
        client, peer = (f"http://{self._address}:{port}" for port in (self._ports.etcd, self._ports.etcd_peer))
        return [
            "--name=rehearsal",
            f"--data-dir={self.data}",
            # The copied data knows itself as a member of the cluster that it was made in.
            f"--force-new-cluster={'true' if self._first_state else 'false'}",
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
            f"--kubelet-certificate-authority={home / 'ca.crt'}",
            f"--kubelet-client-certificate={home / 'kubelet-client.crt'}",
            f"--kubelet-client-key={home / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",  # the nodes' names are in no DNS
            f"--proxy-client-cert-file={home / 'front-proxy.crt'}",
            f"--proxy-client-key-file={home / 'front-proxy.key'}",
            "--endpoint-reconciler-type=none",
        ]

    def _controller_manager_flags(self, program: str) -> list[str]:
        return [
            *self._controller_flags(program, self._ports.controller_manager),
            f"--root-ca-file={self._home / 'ca.crt'}",
            f"--service-account-private-key-file={self._home / 'service-account.key'}",
            "--use-service-account-credentials",
            f"--controllers={_CONTROLLERS}",
        ]

    def _controller_flags(self, program: str, port: int) -> list[str]:
        own = self._home / f"{program}.kubeconfig"
        return [
            f"--kubeconfig={own}",
            f"--authentication-kubeconfig={own}",
            f"--authorization-kubeconfig={own}",
            f"--bind-address={self._address}",
            f"--secure-port={port}",
            f"--tls-cert-file={self._home / f'{program}.crt'}",
            f"--tls-private-key-file={self._home / f'{program}.key'}",
            "--leader-elect=false",
        ]
