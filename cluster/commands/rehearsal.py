"""The rehearsal's cluster on this machine: build, up, down, status.

`up` starts the real Kubernetes control plane, the real Karpenter with its AWS provider over an in-memory EC2, the real KubeRay
operator, KWOK for the nodes and a kubelet that runs pods as processes, all in namespaces of their own, and prints a
kubeconfig. It stands until `down`, for kubectl to play with; `python -m cluster deploy rehearsal` puts the chatbot on it.

`build` compiles the programs from pinned modules into the cache: 13 to 16 minutes on two idle cores and 7 GB of disk the
first time, a moment afterwards.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from cluster.rehearsal import build as programs_build
from cluster.rehearsal import first_state, go, scenario
from cluster.rehearsal.build import Built
from cluster.rehearsal.lab import Running
from cluster.rehearsal.programs import PROGRAMS
from cluster.rehearsal.scenario import Scenario
from cluster.settings import Settings, from_environment
from cluster.targets.rehearsal import lab_of, state_file

SCHEMA = "chatbot.rehearsal-lab/v1"
_FIRST_BUILD = "13 to 16 minutes on two idle cores the first time, 7 GB of disk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("build", help=f"compile its programs into the cache ({_FIRST_BUILD})")
    verb.set_defaults(verb_run=_build)
    verb = verbs.add_parser("up", help="start it, and print the path of its kubeconfig")
    verb.add_argument(
        "--scenario", default="field", metavar="NAME|FILE", help="a shipped one or a YAML file (%(default)s)"
    )
    verb.add_argument("--speed", type=float, help="seconds of the field that pass in one second here")
    verb.add_argument(
        "--without", action="append", default=[], metavar="NAME", help="a component to leave out; may be repeated"
    )
    verb.set_defaults(verb_run=_up)
    verb = verbs.add_parser("down", help="end it and remove its data")
    verb.set_defaults(verb_run=_down)
    verb = verbs.add_parser("status", help="which of its programs run; exit code 1 unless all of them do")
    verb.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how to print it")
    verb.set_defaults(verb_run=_status)


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    verb: Callable[[argparse.Namespace, Settings], int] = args.verb_run
    return verb(args, from_environment())


def _build(_args: argparse.Namespace, settings: Settings) -> int:
    built = build_programs(settings)
    for program in PROGRAMS:
        print(built.program(program))
    return 0


def build_programs(settings: Settings) -> Built:
    """Compile what is missing, and tell of it."""
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
    first_state.of(built, settings.environment)
    print(f"Done after {time.monotonic() - started:.0f} s", file=sys.stderr)
    return built


def _up(args: argparse.Namespace, settings: Settings) -> int:
    world = scenario.read(args.scenario)
    changes = {} if args.speed is None else {"speed": args.speed}
    world = Scenario.from_json({**world.to_json(), **changes, "absent": [*world.absent, *args.without]})
    lab = lab_of(settings)
    running = lab.status()
    if running is None:
        _forget_deployment(settings)  # of a lab that ended by itself
    if running is None or running.scenario != world:  # where another one runs, `up` says so
        built = programs_build.find(settings.cache_dir)
        started = time.monotonic()
        running = lab.up(built, settings.environment, world, standing=True)
        print(f"Ready after {time.monotonic() - started:.1f} s; logs in {lab.logs}", file=sys.stderr)
    print(running.kubeconfig)
    return 0


def _down(_args: argparse.Namespace, settings: Settings) -> int:
    lab_of(settings).down()
    _forget_deployment(settings)
    return 0


def _forget_deployment(settings: Settings) -> None:
    """What the load test finds the chatbot of a lab by that is no more."""
    state_file(settings).unlink(missing_ok=True)


def _status(args: argparse.Namespace, settings: Settings) -> int:
    running = lab_of(settings).status()
    if args.output == "json":
        print(json.dumps({"schema": SCHEMA, **_document(running)}, indent=1))
    elif running is None:
        print("It does not run; start it: python -m cluster rehearsal up")
    else:
        print("\n".join(_lines(running)))
    return 0 if running is not None and running.is_healthy else 1


def _lines(running: Running) -> Iterator[str]:
    for part in running.parts:
        code = f" (exit code {part.exit_code})" if part.state == "ended" else ""
        yield f"{part.name:<26}{part.state}{code}" + (f", pid {part.pid}" if part.pid else "")
    yield f"supervisor                pid {running.pid}"
    yield f"kubeconfig                {running.kubeconfig}"
    yield f"chatbot                   {running.chat_url}"


def _document(running: Running | None) -> dict[str, Any]:
    if running is None:
        return {"running": False}
    return {
        "running": True,
        "healthy": running.is_healthy,
        "pid": running.pid,
        "kubeconfig": str(running.kubeconfig),
        "chat_url": running.chat_url,
        "scenario": running.scenario.to_json(),
        "components": [dataclasses.asdict(part) for part in running.parts],
    }
