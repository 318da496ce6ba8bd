"""Building the control plane once into the cache: one binary and the CRDs, named after what they are made from."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.errors import ClusterError, Refused
from cluster.rehearsal.go import Go

SOURCES = Path(__file__).parent
CONTROL_PLANE = SOURCES / "controlplane"

# (module whose go.mod pins it, module, the folder of its CRDs): the AWS provider carries Karpenter's own CRDs too.
_CRD_FOLDERS = (
    (SOURCES / "karpenter", "github.com/aws/karpenter-provider-aws", "pkg/apis/crds"),
    (SOURCES / "kuberay", "github.com/ray-project/kuberay/ray-operator", "config/crd/bases"),
)
_LAYOUT = "binary, CRDs as JSON"  # changes with what a finished build holds
_VERSION_PACKAGE = "k8s.io/component-base/version"

# Called with (packages compiled, packages to compile, the package just compiled).
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build in the cache."""

    folder: Path

    @property
    def binary(self) -> Path:
        """Its first argument picks etcd, kube-apiserver, kube-controller-manager, kube-scheduler or kubectl."""
        return self.folder / "controlplane"

    @property
    def crds(self) -> list[Path]:
        """The CRDs of Karpenter and KubeRay as JSON, one file each, named `GROUP_PLURAL.json`."""
        return sorted((self.folder / "crds").glob("*.json"))


def find(cache_dir: Path) -> Built:
    """The build of the present sources. Raises Refused where there is none yet."""
    folder = _folder(cache_dir)
    if not folder.is_dir():
        raise Refused("The control plane is not built yet; run: python -m cluster rehearsal build")
    return Built(folder)


def build(cache_dir: Path, go: Go, progress: Progress) -> Built:
    """The build of the present sources, made now where it is missing: about six minutes on two cores the first time.

    Raises ClusterError with the compiler's words when it fails; a broken build leaves nothing in the cache.
    """
    folder = _folder(cache_dir)
    if folder.is_dir():
        return Built(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder.parent) as name:
        unfinished = Path(name) / "build"
        (unfinished / "crds").mkdir(parents=True)
        _collect_crds(go, unfinished / "crds")
        _compile(go, unfinished / "controlplane", progress)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # somebody else finished the same build first: theirs is as good
                raise
    return Built(folder)


def kubernetes_version() -> str:
    """The pinned release, as `v1.36.3`."""
    match = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (CONTROL_PLANE / "go.mod").read_text("utf-8"), re.MULTILINE)
    if match is None:
        raise ClusterError(f"{CONTROL_PLANE / 'go.mod'} pins no k8s.io/kubernetes")
    return match[1]


def _folder(cache_dir: Path) -> Path:
    digest = hashlib.sha256(f"{_LAYOUT} {_link_flags()}".encode())
    pins = [folder / name for folder, *_ in _CRD_FOLDERS for name in ("go.mod", "go.sum")]
    for path in [*pins, *sorted(CONTROL_PLANE.glob("*"))]:
        digest.update(path.read_bytes())
    return cache_dir / "rehearsal" / f"controlplane-{kubernetes_version()}-{digest.hexdigest()[:12]}"


def _collect_crds(go: Go, folder: Path) -> None:
    for pins, module, path in _CRD_FOLDERS:
        for file in (go.module_folder(pins, module) / path).glob("*.yaml"):
            # JSON, because reading KubeRay's megabytes of YAML takes longer than starting the control plane.
            document = yaml.safe_load(file.read_text("utf-8"))
            (folder / file.with_suffix(".json").name).write_text(json.dumps(document), "utf-8")


def _compile(go: Go, binary: Path, progress: Progress) -> None:
    """Run the compiler and tell of each package; it names a package on stderr when it starts on it."""
    stale = len(go.run(CONTROL_PLANE, "list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", ".").split())
    arguments = [go.command, "build", "-v", "-ldflags", _link_flags(), "-o", str(binary), "."]
    with subprocess.Popen(
        arguments, cwd=CONTROL_PLANE, env=dict(go.environment), stderr=subprocess.PIPE, text=True
    ) as process:
        complaints = list(_complaints(process, stale, progress))
    if process.returncode != 0:
        raise ClusterError("The control plane does not compile: " + " ".join(complaints)[-2000:])


def _complaints(process: subprocess.Popen[str], stale: int, progress: Progress) -> Iterator[str]:
    compiled = 0
    for line in process.stderr or ():
        package = line.strip()
        if re.fullmatch(r"[\w.~/-]+", package):
            compiled += 1
            progress(compiled, max(stale, compiled), package)
        else:
            yield package


def _link_flags() -> str:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in stamps.items())
