"""The rehearsal's control plane on this machine: build, up, down, status.

`up` starts the real etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback with the CRDs of Karpenter
and KubeRay, and prints a kubeconfig. Neither Karpenter nor KubeRay nor a kubelet runs in it: what is applied is checked,
stored and scheduled, and no pod starts.

`build` compiles etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl from pinned modules into the
cache: about six minutes on two cores and 4 GB of disk the first time, a moment afterwards.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from cluster.rehearsal import build as control_plane_build
from cluster.rehearsal import crds, go
from cluster.rehearsal.running import Lab
from cluster.settings import Settings, from_environment

_FIRST_BUILD = "about 6 minutes on two idle cores the first time, 4 GB of disk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("build", help=f"compile the control plane into the cache ({_FIRST_BUILD})")
    verb.set_defaults(verb_run=_build)
    verb = verbs.add_parser("up", help="start it, and print the path of its kubeconfig")
    verb.set_defaults(verb_run=_up)
    verb = verbs.add_parser("down", help="end it and remove its data")
    verb.set_defaults(verb_run=_down)
    verb = verbs.add_parser("status", help="which of its programs run; exit code 1 unless all of them do")
    verb.set_defaults(verb_run=_status)


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    verb: Callable[[Settings], int] = args.verb_run
    return verb(from_environment())


def _build(settings: Settings) -> int:
    started = time.monotonic()
    print(f"Building the control plane: {_FIRST_BUILD}", file=sys.stderr)
    with tqdm(unit="package", disable=not sys.stderr.isatty()) as bar:

        def progress(compiled: int, total: int, package: str) -> None:
            bar.total = total
            bar.set_postfix_str(package.rsplit("/", 1)[-1], refresh=False)
            bar.update(compiled - bar.n)

        built = control_plane_build.build(settings.cache_dir, go.find(settings.environment), progress)
    print(f"{built.binary} ({time.monotonic() - started:.0f} s)")
    return 0


def _up(settings: Settings) -> int:
    built = control_plane_build.find(settings.cache_dir)
    lab = _lab(settings)
    lab.up(built, settings.environment, lambda kubeconfig: crds.install(kubeconfig, built))
    print(lab.kubeconfig)
    return 0


def _down(settings: Settings) -> int:
    _lab(settings).down()
    return 0


def _status(settings: Settings) -> int:
    lab = _lab(settings)
    processes = lab.processes()
    for process in processes:
        print(f"{process.name:<24}{'runs' if process.is_alive else 'has ended'}, pid {process.pid}")
    print(f"kubeconfig: {lab.kubeconfig}" if processes else "It does not run; start it: python -m cluster rehearsal up")
    return 0 if processes and all(process.is_alive for process in processes) else 1


def _lab(settings: Settings) -> Lab:
    return Lab(settings.cache_dir / "rehearsal" / "running")
