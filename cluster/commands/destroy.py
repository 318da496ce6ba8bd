"""Remove from a target exactly what deploy made; logs stay."""

from __future__ import annotations

import argparse
import sys

from cluster.settings import from_environment
from cluster.targets import open_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("target", nargs="?", default="local", metavar="TARGET", help="where (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Destroy, and say what is left."""
    target = open_target(args.target, from_environment(), lambda step: print(step, file=sys.stderr, flush=True))
    target.down()
    print(f"Nothing of it is left; logs are kept: {target.status().facts.get('logs', 'where the target keeps them')}")
    return 0
