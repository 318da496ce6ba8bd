"""The rehearsal's control plane on this machine: build it.

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
from cluster.rehearsal import go
from cluster.settings import Settings, from_environment

_FIRST_BUILD = "about 6 minutes on two idle cores the first time, 4 GB of disk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("build", help=f"compile the control plane into the cache ({_FIRST_BUILD})")
    verb.set_defaults(verb_run=_build)


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    verb: Callable[[Settings], int] = args.verb_run
    return verb(from_environment())


def _build(settings: Settings) -> int:
    started = time.monotonic()
    with tqdm(unit="package", desc=f"Building ({_FIRST_BUILD})", disable=not sys.stderr.isatty()) as bar:

        def progress(compiled: int, total: int, package: str) -> None:
            bar.total = total
            bar.set_postfix_str(package.rsplit("/", 1)[-1], refresh=False)
            bar.update(compiled - bar.n)

        built = control_plane_build.build(settings.cache_dir, go.find(settings.environment), progress)
    print(f"{built.binary} ({time.monotonic() - started:.0f} s)")
    return 0
