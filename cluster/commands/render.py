"""Print what a kustomization makes, with its placeholders filled from the environment.

Exit codes: 0, or 2 where kustomize fails or a placeholder has no value (each is named).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import yaml

from cluster.kustomize import render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("path", metavar="PATH", type=Path, help="a kustomization: manifests/clusters/eks")
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="how to print (yaml)")


def run(args: argparse.Namespace) -> int:
    """Print the objects in kustomize's order."""
    values = [dict(manifest.value) for manifest in render(args.path, os.environ)]
    if args.output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": values}, indent=2))
    else:
        yaml.safe_dump_all(values, sys.stdout, sort_keys=False)
    return 0
