"""Print what a kustomization makes, with its placeholders filled from the environment.

Exit codes: 0, or 2 where kustomize fails or a placeholder has no value (each is named).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml

from cluster.kustomize import render
from cluster.settings import from_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and operands."""
    parser.add_argument("path", metavar="PATH", type=Path, help="a kustomization: manifests/clusters/eks")
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="how to print (yaml)")


def run(args: argparse.Namespace) -> int:
    """Print the objects in kustomize's order."""
    values = [dict(manifest.value) for manifest in render(args.path, from_environment().environment)]
    if args.output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": values}, indent=2))
    else:
        yaml.dump_all(values, sys.stdout, Dumper=_Dumper, sort_keys=False, width=120)
    return 0


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that a Serve config stays readable; no aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
