"""The Go programs of the rehearsal: which package of which module, in which pinned version, with which stamps."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError

SOURCES = Path(__file__).parent
_LAYOUT = "one binary named after its program"  # changes with what a finished build holds


@dataclass(frozen=True, slots=True)
class Program:
    """One binary; a change of its key makes it anew, and no other."""

    name: str
    module: str  # our folder, whose go.mod and go.sum pin everything
    package: str  # what is compiled: `.` is the main of ours in that folder
    released: str  # the module whose version is the program's
    stamps: str = ""  # the variable that holds the version, as the project's own release build sets it

    @property
    def folder(self) -> Path:
        """Where the Go command runs."""
        return SOURCES / self.module

    @property
    def version(self) -> str:
        """The pinned release, as `v1.36.3`. Raises ClusterError where go.mod names none."""
        pins = (self.folder / "go.mod").read_text("utf-8")
        match = re.search(rf"^\s*(?:require )?{re.escape(self.released)} (v\S+)", pins, re.MULTILINE)
        if match is None:
            raise ClusterError(f"{self.folder / 'go.mod'} pins no {self.released}")
        return match[1]

    @property
    def link_flags(self) -> str:
        """Without symbols, and with the version where it is asked for."""
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in self._stamped())])

    @property
    def key(self) -> str:
        """Changes whenever the binary may: with the pins, the sources of ours and the link flags."""
        sources = sorted(self.folder.glob("*.go")) if self.package == "." else []
        digest = hashlib.sha256(f"{_LAYOUT} {self.package} {self.link_flags}".encode())
        for path in [self.folder / "go.mod", self.folder / "go.sum", *sources]:
            digest.update(path.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    def _stamped(self) -> list[tuple[str, str]]:
        if self.stamps != _KUBERNETES_STAMPS:
            return [(self.stamps, self.version.removeprefix("v"))] if self.stamps else []
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        stamps = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
        return [(f"{self.stamps}.{name}", value) for name, value in stamps.items()]


_KUBERNETES_STAMPS = "k8s.io/component-base/version"  # three variables, the version whole and in parts

# Its first argument picks etcd, kube-apiserver, kube-controller-manager, kube-scheduler or kubectl.
CONTROL_PLANE = Program("controlplane", "controlplane", ".", "k8s.io/kubernetes", _KUBERNETES_STAMPS)
KWOK = Program("kwok", "karpenter", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok")
KARPENTER = Program(
    "karpenter",
    "karpenter",
    ".",
    "github.com/aws/karpenter-provider-aws",
    "sigs.k8s.io/karpenter/pkg/operator.Version",
)
KUBERAY = Program(
    "kuberay-operator", "kuberay", "github.com/ray-project/kuberay/ray-operator", "github.com/ray-project/kuberay/ray-operator"
)  # fmt: skip

PROGRAMS = (CONTROL_PLANE, KWOK, KARPENTER, KUBERAY)

# (program whose module pins it, module, the folder of its CRDs): the AWS provider carries Karpenter's own CRDs too.
CRD_FOLDERS = ((KARPENTER, KARPENTER.released, "pkg/apis/crds"), (KUBERAY, KUBERAY.released, "config/crd/bases"))


def crds_key() -> str:
    """Changes with the pins of the modules that carry the CRDs."""
    digest = hashlib.sha256(b"CRDs as JSON, one file each")
    for program, module, path in CRD_FOLDERS:
        digest.update(f"{module} {program.version} {path}\n".encode())
    return f"crds-{digest.hexdigest()[:12]}"
