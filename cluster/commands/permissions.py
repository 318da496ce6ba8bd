"""The least rights that plan, deploy, explain and destroy need, as RBAC manifests for `kubectl apply -f -`.

It asks the cluster of the current context how it calls the kinds. With --check it asks which of the rights you lack: exit code 0
none, 1 some, each named. 2: cannot be asked, and why.
"""

from __future__ import annotations

import argparse
import json
import sys

import yaml

from cluster import permissions, preflight
from cluster.release import open_release
from cluster.settings import from_environment

LACKING = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("target", metavar="TARGET", help="a cluster: eks or rehearsal")
    parser.add_argument("--user", default="chatbot-deployer", help="who gets them (%(default)s)")
    parser.add_argument("--check", action="store_true", help="say which of them you lack instead")
    parser.add_argument("-o", "--output", choices=["yaml", "json"], default="yaml", help="yaml or json (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the roles, or what is missing."""
    release = open_release(args.target, from_environment(), lambda step: print(step, file=sys.stderr))
    with preflight.only_looking():
        rights = release.rights()
        missing = preflight.missing_rights(release.stage.api, rights) if args.check else []
    if args.check:
        print(
            "\n".join(f"you are not allowed to {right}" for right in missing) or "You have every right that it takes."
        )
        return LACKING if missing else 0
    roles = permissions.manifests(rights, args.user)
    if args.output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": roles}, indent=2))
    else:
        print(yaml.safe_dump_all(roles, sort_keys=False), end="")
    return 0
