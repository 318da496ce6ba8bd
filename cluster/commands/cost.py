"""Print what the manifests cost: dollars an hour, a million tokens, the break-even against a hosted model.

Prices are on demand in us-east-1, from a dated table. Exit codes: 0, or 2 where something cannot be read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from cluster import cost
from cluster.errors import Refused
from cluster.kustomize import kubectl
from cluster.lint.source import load
from cluster.settings import from_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default="manifests/clusters/eks", help="as for lint (%(default)s)"
    )
    parser.add_argument("--now", action="store_true", help="also count the nodes of the current kubectl context")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="a load test's JSON: gives the price of a million tokens"
    )
    parser.add_argument("--hosted", type=float, metavar="USD", help="a hosted model's price of a million output tokens")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the bills."""
    if args.hosted is not None and not args.hosted > 0:
        raise Refused("--hosted must be a price above 0.")
    bills = cost.bills(load(args.path, sys.stdin, from_environment().environment))
    minimum = bills[0]
    if args.now:
        bills.insert(0, cost.running(_nodes()))
    tokens = cost.per_million(minimum, _report(args.report), args.hosted) if args.report else None
    even = cost.break_even(minimum, args.hosted)
    if args.output == "json":
        document = {
            "schema": cost.SCHEMA,
            "bills": [bill.document() for bill in bills],
            "tokens": tokens and tokens.document(),
            "break_even_tokens_per_s": even and round(even, 1),
            "not_counted": cost.NOT_COUNTED,
            "sources": cost.price_sources(),
        }
        print(json.dumps(document, indent=2))
    else:
        _print(bills, tokens, even, args.hosted)
    return 0


def _print(bills: list[cost.Bill], tokens: cost.PerMillion | None, even: float | None, hosted: float | None) -> None:
    for bill in bills:
        parts = ", ".join(f"{part.count} × {part.type.name} ({part.what})" for part in bill.nodes)
        print(f"${bill.usd_per_hour:7.2f}/h  {bill.situation}: {parts or 'nothing'}")
        if bill.unpriced:
            print(f"            without a known price: {', '.join(bill.unpriced)}")
    if tokens:
        print(
            f"${tokens.usd:.2f} per million output tokens, cold starts and idle time included ({tokens.output_tokens} tokens)"
        )
    if even is not None:
        print(
            f"The minimum breaks even with ${hosted:g} per million output tokens at {even:.0f} tokens/s, day and night"
        )
    print(f"Not counted: {cost.NOT_COUNTED}.")
    for source in cost.price_sources()[:1]:
        print(f"Prices: {source['what']} of {source['date']}, {source['from']}.")


def _report(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{path} is not a load test's JSON: {error}") from error
    return cast(Mapping[str, Any], document) if isinstance(document, dict) else {}


def _nodes() -> list[Mapping[str, Any]]:
    done = subprocess.run(
        [kubectl(), "get", "nodes", "-o", "json", "--request-timeout=20s"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Refused(f"kubectl cannot list the nodes of the current context: {done.stderr.strip()}")
    return cast(list[Mapping[str, Any]], json.loads(done.stdout)["items"])
