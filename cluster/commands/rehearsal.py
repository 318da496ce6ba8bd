"""The rehearsal's cluster on this machine: build, up, down, status.

`up` starts the real Kubernetes control plane, the real Karpenter with its AWS provider over an in-memory EC2, the real KubeRay
operator, KWOK for the nodes and a kubelet that runs pods as processes, all in namespaces of their own, and prints a
kubeconfig. It stands until `down`, for kubectl to play with; `python -m cluster deploy rehearsal` puts the chatbot on it.

`build` compiles the programs from pinned modules into the cache: about 10 minutes on two idle cores and 5 GB of disk the first
time, a moment afterwards.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from cluster.rehearsal import build as programs_build
from cluster.rehearsal import crds, go
from cluster.rehearsal.programs import PROGRAMS
from cluster.rehearsal.running import Lab
from cluster.settings import Settings, from_environment

_FIRST_BUILD = "about 10 minutes on two idle cores the first time, 5 GB of disk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("build", help=f"compile its programs into the cache ({_FIRST_BUILD})")
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
    print(f"Building the rehearsal's programs: {_FIRST_BUILD}", file=sys.stderr)
    started = begun = time.monotonic()
    current = ""
    with tqdm(unit="package", disable=not sys.stderr.isatty()) as bar:

        def progress(program: str, compiled: int, total: int, package: str) -> None:
            nonlocal current, begun
            if program != current:  # the bar's estimate is for one program
                current, begun = program, time.monotonic()
                bar.reset(total)
                tqdm.write(f"{program}: {total} packages ({begun - started:.0f} s so far)", file=sys.stderr)
            bar.total = total
            bar.set_description(program, refresh=False)
            bar.set_postfix_str(package.rsplit("/", 1)[-1], refresh=False)
            bar.update(compiled - bar.n)

        built = programs_build.build(settings.cache_dir, go.find(settings.environment), progress)
    for program in PROGRAMS:
        print(built.program(program))
    print(f"Done after {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


def _up(settings: Settings) -> int:
    built = programs_build.find(settings.cache_dir)
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
