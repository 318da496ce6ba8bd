"""Find what would keep the chatbot from scaling, before a node is paid for.

PATH is a kustomization, a folder (kustomizations in it are rendered, each entry point for itself), a file, or - for standard input (`helm template ... | cluster lint -`).
Exit codes: 0 no finding of severity error, 1 at least one, 2 PATH cannot be read, holds no manifest, or has an entry point that cannot be rendered.
"""

from __future__ import annotations

import argparse
import json
import sys

from cluster.lint.engine import lint_each
from cluster.lint.source import load_each
from cluster.lint.text import human
from cluster.settings import from_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("path", metavar="PATH", help="a kustomization, a folder, a file, or - for standard input")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print (text)")


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 where one is an error, 2 where an entry point was not seen at all."""
    stacks = load_each(args.path, sys.stdin, from_environment().environment)
    report = lint_each(stacks)
    if args.output == "json":
        print(json.dumps(report.document(), indent=2))
    else:
        print(human(report, colour=sys.stdout.isatty()))
    if any(stack.unrendered for stack in stacks):
        return 2
    return 1 if report.count("error") else 0
