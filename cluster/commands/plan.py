"""What a deploy would do to a cluster, and what it would cost meanwhile; writes nothing.

Exit code 0: no change. 3: changes. 2: cannot be planned, and why.
"""

from __future__ import annotations

import argparse
import json
import sys

from cluster import preflight
from cluster.plan_text import plan_document, plan_lines
from cluster.release import open_release
from cluster.settings import from_environment

CHANGES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("target", metavar="TARGET", help="a cluster: eks or rehearsal")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Plan, and print."""
    release = open_release(args.target, from_environment(), lambda step: print(step, file=sys.stderr))
    with preflight.only_looking():
        release.refuse_without_controllers()
        plan = release.plan()
    if args.output == "json":
        print(json.dumps(plan_document(plan, args.target), indent=2))
    else:
        print("\n".join(plan_lines(plan)))
    return CHANGES if plan.pending else 0
