"""Seed faults into the rehearsal, one after the other, and see whether the load test's verdict names each.

Without --all or --sample, NAMEs say which. Lint's part needs no rehearsal: a test holds it. Exit codes: 0 every fault was
named and nothing else was, 1 something was named wrongly or not at all, 2 nothing was started or a lab failed, 130 after Ctrl-C.
With --write what was found is kept, however the series ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Generator
from datetime import datetime, timezone
from pathlib import Path

from cluster.commands.rehearse import interrupt_on_signals
from cluster.errors import Refused
from cluster.faults import results, situation
from cluster.faults.catalog import FAULTS, SAMPLE, chosen
from cluster.faults.fault import Fault
from cluster.faults.lab import benches, versions
from cluster.faults.outcome import Outcome
from cluster.faults.rehearse import Bench, rehearse, try_controls
from cluster.settings import from_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="a fault of docs/reference/faults.md")
    parser.add_argument("--all", action="store_true", help="every fault; some ninety minutes on two cores")
    parser.add_argument("--sample", action="store_true", help=f"{len(SAMPLE)} of them: {', '.join(SAMPLE)}")
    parser.add_argument(
        "--controls", type=int, default=0, metavar="N", help="and N runs in which nothing is broken, to the scale-in"
    )
    parser.add_argument(
        "--speed", type=float, default=40.0, help="seconds of the field in one of the lab (%(default)g)"
    )
    parser.add_argument("--reports", type=Path, default=Path("reports/faults"), help="where verdicts go (%(default)s)")
    parser.add_argument("--record-situations", type=Path, metavar="FOLDER", help="write what explain saw of each there")
    parser.add_argument(
        "--write", action="store_true", help=f"keep the outcomes in {results.COMMITTED.name}, for the docs"
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run them, say of each what was named as soon as it was, and print all at the end."""
    faults = faults_of(args)
    interrupt_on_signals()
    found: list[Outcome] = []
    try:
        with contextlib.closing(_outcomes(args, faults)) as outcomes:  # its lab ends also where this loop does
            for outcome in outcomes:
                found.append(outcome)
                print(_line(outcome), file=sys.stderr, flush=True)
    finally:
        newest = results.Series(datetime.now(timezone.utc).date().isoformat(), versions(), tuple(found))
        if args.write and found:
            results.write(results.read().joined(newest))
    if args.output == "json":
        print(json.dumps(newest.document(), indent=2, ensure_ascii=False))
    else:
        wrong = sum(not outcome.right for outcome in found)
        print(
            f"{len(found)} runs, {wrong} wrong"
            + (f": {', '.join(o.name for o in found if not o.right)}" if wrong else "")
        )
    return 0 if all(outcome.right for outcome in found) else 1


def faults_of(args: argparse.Namespace) -> list[Fault]:
    """The faults that the flags mean and the lab can show. Raises Refused where they mean none."""
    if not (args.names or args.all or args.sample or args.controls):
        raise Refused("Say which: names of docs/reference/faults.md, --sample, --all, or --controls N.")
    faults = list(FAULTS) if args.all else chosen([*args.names, *(SAMPLE if args.sample else ())])
    impossible = [fault for fault in faults if fault.not_rehearsed]
    for fault in impossible:
        print(f"{fault.name}: not rehearsed, {fault.not_rehearsed}", file=sys.stderr)
    possible = [fault for fault in faults if fault not in impossible]
    if not (possible or args.controls):
        raise Refused(
            "Nothing is left to run: the rehearsal cannot show what you named; lint says it (docs/reference/faults.md)."
        )
    return possible


def _outcomes(args: argparse.Namespace, faults: list[Fault]) -> Generator[Outcome, None, None]:
    open_bench = benches(from_environment(), args.speed, args.reports.resolve(), _tell)

    def seen(fault: Fault, bench: Bench) -> None:
        if args.record_situations is not None:
            situation.write(args.record_situations, fault, bench.snapshot())

    yield from rehearse(faults, open_bench, tell=_tell, seen=seen)
    if args.controls:
        yield from try_controls(args.controls, open_bench, tell=_tell)


def _tell(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


def _line(outcome: Outcome) -> str:
    said = f"{outcome.stage}: {outcome.reason}" if outcome.stage else "no broken link"
    return (
        f"{'right' if outcome.right else 'WRONG'}  {outcome.name} ({outcome.took_s:.0f} s)  {outcome.problem or said}"
    )
