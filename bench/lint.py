"""What `cluster lint` costs for a thousand objects: CPU seconds to read the YAML and to apply every rule.

The objects are the chatbot's own, rendered once and repeated under other namespaces and names, so that every rule has as
much to look at as in a platform team's repository.
"""

from __future__ import annotations

import copy
import io
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster.kustomize import render
from cluster.lint.engine import all_rules, lint
from cluster.lint.source import load
from cluster.placeholders import declared

OBJECTS = 1000
ROUNDS = 5
LIMIT_S = 2.0
MANIFESTS = Path("manifests/clusters/eks")


def rows() -> list[dict[str, object]]:
    """One row: CPU seconds to read and to lint, their ratio, and the limit that is promised."""
    content = _content()
    all_rules()  # imports are not what is measured
    reads, lints = [], []
    for _ in range(ROUNDS):
        start = time.process_time()
        stack = load("-", io.StringIO(content), {})
        read = time.process_time()
        report = lint(stack)
        reads.append(read - start)
        lints.append(time.process_time() - read)
    read_s, lint_s = statistics.median(reads), statistics.median(lints)
    return [
        {
            "objects": report.objects,
            "rules": len(all_rules()),
            "read_s": read_s,
            "rules_s": lint_s,
            "rules ÷ read": lint_s / read_s,
            "total_s": read_s + lint_s,
            "limit_s": LIMIT_S,
            "within": read_s + lint_s < LIMIT_S,
        }
    ]


def _content() -> str:
    """YAML of OBJECTS objects: the chatbot's, again and again, each copy in a world of its own names."""
    examples = {name: placeholder.example for name, placeholder in declared(MANIFESTS).items()}
    originals = [dict(manifest.value) for manifest in render(MANIFESTS, examples)]
    copies = [_renamed(original, number) for number in range(OBJECTS // len(originals) + 1) for original in originals]
    return yaml.dump_all(copies[:OBJECTS], Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))


def _renamed(original: Mapping[str, Any], number: int) -> dict[str, Any]:
    value = copy.deepcopy(dict(original))
    metadata = value["metadata"]
    metadata["name"] = f"{metadata['name']}-{number}"
    if "namespace" in metadata:
        metadata["namespace"] = f"{metadata['namespace']}-{number}"
    return value
