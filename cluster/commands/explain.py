"""Why is it pending: one sentence that says what waits, why, since when and what to do, and the tree that it stands in.

Exit code 0: nothing is pending. 4: something is. 2: the cluster cannot be looked at, and why.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from typing import Any

from cluster import preflight
from cluster.client import Api
from cluster.explain import Explanation, explain
from cluster.explain.findings import Branch
from cluster.explain.snapshot import gather
from cluster.settings import from_environment

PENDING = 4
SCHEMA = "chatbot.explain/v1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("name", nargs="?", default="chatbot", metavar="NAME", help="the RayService (%(default)s)")
    parser.add_argument("-n", "--namespace", default="chatbot", help="where it stands (%(default)s)")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Look at the cluster of the current context, and say it."""
    settings = from_environment()
    api = Api.connect(settings.environment.get("KUBECONFIG"))
    with preflight.only_looking():
        snapshot = gather(api, args.namespace, datetime.now(timezone.utc))
    explanation = explain(snapshot, namespace=args.namespace, name=args.name)
    if args.output == "json":
        print(json.dumps(as_document(explanation, snapshot.taken_at), indent=2))
    else:
        print("\n".join([explanation.sentence, "", *explanation.tree.lines()]))
    return PENDING if explanation.pending else 0


def as_document(explanation: Explanation, taken_at: datetime) -> dict[str, Any]:
    """The JSON output."""
    return {
        "schema": SCHEMA,
        "taken_at": taken_at.isoformat(),
        "pending": explanation.pending,
        "sentence": explanation.sentence,
        "findings": [
            {
                "weight": finding.weight.name.lower(),
                "what": finding.what,
                "why": finding.why,
                "do": finding.do,
                "since": finding.since.isoformat() if finding.since else None,
            }
            for finding in explanation.findings
        ],
        "tree": _branch(explanation.tree),
    }


def _branch(branch: Branch) -> dict[str, Any]:
    return {
        "text": branch.text,
        "pending": any(branch.all_findings()),
        "children": [_branch(child) for child in branch.children],
    }
