"""What etcd holds when a control plane starts: the API server's own objects, and the CRDs of Karpenter and KubeRay.

Installing the CRDs costs the API server ten seconds of CPU, most of a lab's start. So it is done once for each build, by
the real programs, and every control plane starts on a copy of what etcd had then.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cluster.rehearsal import crds
from cluster.rehearsal.build import Built
from cluster.rehearsal.component import start_all
from cluster.rehearsal.control_plane import ControlPlane
from cluster.rehearsal.processes import Processes
from cluster.rehearsal.programs import CONTROL_PLANE, crds_key

_NAME = "etcd-with-crds"


def of(built: Built, environment: Mapping[str, str]) -> Path:
    """The folder of etcd's data, made now where it is missing: about fifteen seconds.

    Raises ClusterError with the log of whatever does not start.
    """
    # The digests of what it was made by and of.
    folder = built.cache / f"{_NAME}-{CONTROL_PLANE.key.rpartition('-')[2]}-{crds_key().rpartition('-')[2]}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix="building-", dir=built.cache) as home:
            data = _make(built, environment, Path(home))
            try:
                data.rename(folder)
            except OSError:
                if not folder.is_dir():  # somebody else was first
                    raise
        _remove_older(folder)
    return folder


def _make(built: Built, environment: Mapping[str, str], home: Path) -> Path:
    plane = ControlPlane(built, home, environment=environment)
    plane.write_files()
    processes = Processes(home / "logs")
    try:
        start_all(plane.storage(), processes)  # no controllers yet: they would write more than a start needs
        crds.install(plane.admin_kubeconfig, built)
    finally:
        processes.stop_all()
    return plane.data


def _remove_older(present: Path) -> None:
    for folder in present.parent.glob(f"{_NAME}-*"):
        if folder != present:
            shutil.rmtree(folder)
