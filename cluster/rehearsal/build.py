"""Building the rehearsal's programs once into the cache, each in a folder that is named after what it is made from."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.errors import ClusterError, Refused
from cluster.rehearsal.go import Go
from cluster.rehearsal.programs import (
    CONTROL_PLANE,
    CRD_FOLDERS,
    KARPENTER,
    KUBERAY,
    KWOK,
    PROGRAMS,
    Program,
    crds_key,
)

# Called with (program, packages compiled, packages to compile, the package just begun).
Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """What is in the cache, by the present sources. A path is there only for a program that `find` was asked for."""

    cache: Path  # our folder of the rehearsal

    def program(self, program: Program) -> Path:
        """Its binary."""
        return self.cache / program.key / program.name

    @property
    def control_plane(self) -> Path:
        """Its first argument picks etcd, kube-apiserver, kube-controller-manager, kube-scheduler or kubectl."""
        return self.program(CONTROL_PLANE)

    @property
    def kwok(self) -> Path:
        """Keeps nodes alive."""
        return self.program(KWOK)

    @property
    def karpenter(self) -> Path:
        """Karpenter with the AWS provider over its in-memory EC2."""
        return self.program(KARPENTER)

    @property
    def kuberay_operator(self) -> Path:
        """KubeRay's operator."""
        return self.program(KUBERAY)

    @property
    def crds(self) -> list[Path]:
        """The CRDs of Karpenter and KubeRay as JSON, one file each, named `GROUP_PLURAL.json`."""
        return sorted((self.cache / crds_key()).glob("*.json"))


def find(cache_dir: Path, programs: Sequence[Program] = PROGRAMS) -> Built:
    """The build of the present sources. Raises Refused where one of `programs` is missing."""
    built = Built(cache_dir / "rehearsal")
    absent = [program.name for program in programs if not built.program(program).is_file()]
    if absent or not built.crds:
        raise Refused(f"Not built yet: {', '.join(absent or ['CRDs'])}; run: python -m cluster rehearsal build")
    return built


def build(cache_dir: Path, go: Go, progress: Progress, programs: Sequence[Program] = PROGRAMS) -> Built:
    """The build of the present sources; what is missing is made now, and what an older source left is removed.

    Raises ClusterError with the compiler's words when it fails; a broken build leaves nothing in the cache.
    """
    built = Built(cache_dir / "rehearsal")
    built.cache.mkdir(parents=True, exist_ok=True)
    _into(built.cache, "crds", crds_key(), lambda folder: _collect_crds(go, folder))
    for program in programs:  # one after the other: the compiler takes every core, and one package 3.4 GB
        _into(built.cache, program.name, program.key, _compiler(program, go, progress))
    return built


def _compiler(program: Program, go: Go, progress: Progress) -> Callable[[Path], None]:
    return lambda folder: _compile(program, go, folder / program.name, progress)


def _into(cache: Path, name: str, key: str, make: Callable[[Path], None]) -> None:
    """Make a folder whole or not at all, then remove those that `name` had under other keys."""
    if (cache / key).is_dir():
        return
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache) as scratch:
        unfinished = Path(scratch) / key
        unfinished.mkdir()
        make(unfinished)
        try:
            unfinished.rename(cache / key)
        except OSError:
            if not (cache / key).is_dir():  # somebody else finished the same build first: theirs is as good
                raise
    older = re.compile(rf"{re.escape(name)}(-v[^-]+)?-[0-9a-f]{{12}}")
    for folder in cache.iterdir():
        if folder.name != key and older.fullmatch(folder.name):
            shutil.rmtree(folder)


def _collect_crds(go: Go, folder: Path) -> None:
    for program, module, path in CRD_FOLDERS:
        for file in (go.module_folder(program.folder, module) / path).glob("*.yaml"):
            # JSON, because reading KubeRay's megabytes of YAML takes longer than starting the control plane.
            document = yaml.safe_load(file.read_text("utf-8"))
            (folder / file.with_suffix(".json").name).write_text(json.dumps(document), "utf-8")


def _compile(program: Program, go: Go, binary: Path, progress: Progress) -> None:
    """Run the compiler and tell of each package; it names a package on stderr when it starts on it."""
    listing = go.run(program.folder, "list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", program.package)
    stale = len(listing.split())
    arguments = [go.command, "build", "-v", "-ldflags", program.link_flags, "-o", str(binary), program.package]
    with subprocess.Popen(
        arguments, cwd=program.folder, env=dict(go.environment), stderr=subprocess.PIPE, text=True
    ) as process:
        complaints = list(_complaints(process, lambda n, package: progress(program.name, n, max(stale, n), package)))
    if process.returncode != 0:
        raise ClusterError(f"{program.name} does not compile: " + " ".join(complaints)[-2000:])


def _complaints(process: subprocess.Popen[str], begun: Callable[[int, str], None]) -> Iterator[str]:
    compiled = 0
    for line in process.stderr or ():
        package = line.strip()
        if re.fullmatch(r"[\w.~/-]+", package):
            compiled += 1
            begun(compiled, package)
        else:
            yield package
