"""The whole chain on this machine: lab, deploy, chat, load, scale-out, scale-in, verdict, destroy; one report.

Exit codes are those of `loadtest verify`: 0 pass, 1 an SLO is missed, 2 autoscaling failed, or the chatbot did not come up or
go away, 3 the run is void or was refused; 130 after Ctrl-C. Everything is gone afterwards, also then, unless --keep.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from cluster.commands.rehearsal import build_programs
from cluster.errors import ClusterError, Refused
from cluster.rehearsal import build as programs_build
from cluster.rehearsal import scenario
from cluster.rehearsal.lab import Lab
from cluster.rehearsal.scenario import Scenario
from cluster.settings import Settings, from_environment
from cluster.targets import Tell, rehearsal
from cluster.targets.rehearsal.rehearse import Rehearsal, run_child

VOID = 3
_MIB = 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("--scenario", default="field", metavar="NAME|FILE", help="the world's times (%(default)s)")
    parser.add_argument("--speed", type=float, metavar="N", help="field seconds in one here (the scenario's own: 20)")
    parser.add_argument("--real-model", action="store_true", help="the prepared small model on the CPU as the replica")
    parser.add_argument("--keep", action="store_true", help="leave lab and chatbot standing, to play with")
    parser.add_argument("--reports", type=Path, default=Path("reports"), help="where the load test's folder is made")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Rehearse, and print the summary."""
    settings = from_environment()
    interrupt_on_signals()
    told_to = sys.stderr.fileno() if args.output == "json" else None  # our output is the document alone
    try:
        rehearsed = Rehearsal(_scenario(args), settings, _teller(), args.reports.resolve(), told_to)
        _rehearse(rehearsed, settings, keep=args.keep)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return VOID
    print(json.dumps(rehearsed.document(), indent=2) if args.output == "json" else as_text(rehearsed))
    return rehearsed.exit_code


def as_text(rehearsed: Rehearsal) -> str:
    """A line for each phase, then what came of it."""
    lines = [f"  {phase.name:<14}{phase.seconds:7.1f} s" for phase in rehearsed.phases]
    lines += [f"  {'in all':<14}{sum(phase.seconds for phase in rehearsed.phases):7.1f} s", ""]
    lines += rehearsed.locust
    lines += [
        f"memory  {_memory(rehearsed)}",
        f"report  {rehearsed.report / 'report.html' if rehearsed.report else 'none'}",
        *([f"ended   {', '.join(rehearsed.ended)}, unasked"] if rehearsed.ended else []),
        *([f"logs    {rehearsed.logs}"] if rehearsed.logs else []),
        f"verdict {rehearsed.verdict}{f': {rehearsed.failure}' if rehearsed.failure else ''}",
    ]
    return "\n".join(lines)


def _memory(rehearsed: Rehearsal) -> str:
    if rehearsed.memory_failure:
        return "not known: it was not watched to the end"
    peak_mib = rehearsed.memory_peak_bytes / _MIB
    return f"{peak_mib:.0f} MiB at its highest, of the lab, the load test and this command together"


def _rehearse(rehearsed: Rehearsal, settings: Settings, *, keep: bool) -> None:
    """Raises ClusterError where the lab does not start; the lab ends with this process, however that ends."""
    try:
        built = programs_build.find(settings.cache_dir)
    except Refused:
        with rehearsed.phase("build"):
            built = build_programs(settings)
    lab = rehearsal.lab_of(settings)
    if rehearsed.scenario.runner == "real":
        with rehearsed.phase("model"):
            _prepare_model(settings)
    with rehearsed.phase("lab up"):
        running = lab.up(built, settings.environment, rehearsed.scenario, standing=keep)
    if keep:
        rehearsed.tell(
            f"KUBECONFIG={running.kubeconfig}, chatbot {running.chat_url}; end it: python -m cluster rehearsal down"
        )
    try:
        rehearsed.on_the_lab(keep=keep)
    finally:
        if not keep:
            _end(rehearsed, lab, settings)


def _end(rehearsed: Rehearsal, lab: Lab, settings: Settings) -> None:
    """Keep of the lab what may be why it failed, then end it, however that goes."""
    try:
        if rehearsed.failure or rehearsed.verdict_code != 0:  # also where it came to no verdict
            rehearsed.keep_evidence(lab)
    finally:
        with rehearsed.phase("lab down"):
            lab.down()
        rehearsal.state_file(settings).unlink(missing_ok=True)


def _prepare_model(settings: Settings) -> None:
    command = [sys.executable, "-m", "serving", "model", "prepare"]
    code = run_child(command, settings.environment, told_to=sys.stderr.fileno())
    if code != 0:
        raise Refused(f"The small model could not be prepared (exit code {code}).")


def _scenario(args: argparse.Namespace) -> Scenario:
    world = scenario.read(args.scenario)
    runner = "real" if args.real_model else world.runner
    speed = world.speed if args.speed is None else args.speed
    return Scenario.from_json({**world.to_json(), "speed": speed, "runner": runner})


def interrupt_on_signals() -> None:
    """Have an end from outside be as a Ctrl-C: what was started is removed on the way out."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first one ends the rehearsal, which then removes everything; the next ones must not end that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _teller() -> Tell:
    started_s = time.monotonic()
    return lambda step: print(f"{time.monotonic() - started_s:6.1f} s  {step}", file=sys.stderr, flush=True)
