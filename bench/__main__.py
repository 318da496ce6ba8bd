"""`python -m bench`: every benchmark of the suite, each as ratios measured side by side in one run.

A benchmark is a module with `rows() -> list of flat mappings`; a table goes to the terminal, JSON to `reports/bench.json`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

Row = Mapping[str, object]

SUITE = {
    "serve-path": "bench.serve_path",
    "engine-runner": "bench.engine_runner",
    "engine-host-time": "bench.engine",
    "throughput": "bench.throughput",
    "bucket-order": "bench.bucket_order",
    "lint": "bench.lint",
    "loadtest": "bench.loadtest",
}
REPORT = Path("reports/bench.json")
LIMITS = ("kept", "within")  # columns that say whether a limit was kept
ABOUT_LIMITS = """Exit code: 0 when every benchmark ran, whatever it measured. `kept` and `within` hold a figure against the
limit of an idle machine. On a busy one a missed limit says nothing of the product, so it is named on standard error and
in the report, beside the load average, and does not change the exit code: whoever takes the figures for a
verdict looks at both."""


def table(rows: Sequence[Row]) -> str:
    """Columns as wide as their widest cell, in the order in which they first appear."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *[[_cell(row.get(name)) for name in names] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main(argv: Sequence[str]) -> int:
    """Run what was named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=(__doc__ or "").splitlines()[0], epilog=ABOUT_LIMITS
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(SUITE)}; all by default")
    parser.add_argument(
        "-o", "--output", choices=["table", "json"], default="table", help="what to print (%(default)s)"
    )
    args = parser.parse_args(argv)
    if unknown := set(args.names) - SUITE.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    results: dict[str, list[Row]] = {}
    for name in args.names or SUITE:
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = importlib.import_module(SUITE[name]).rows()
        if args.output == "table":
            print(f"\n{name}\n{table(results[name])}\n", flush=True)
    document = {
        "schema": "chatbot.bench/v1",
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()},
        "load_average": os.getloadavg(),
        "limits_missed": missed(results),
        "benchmarks": results,
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for what in missed(results):
        print(f"limit missed at a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores: {what}", file=sys.stderr)
    print(json.dumps(document, indent=2) if args.output == "json" else f"Written to {REPORT}")
    return 0


def missed(results: Mapping[str, Sequence[Row]]) -> list[str]:
    """The rows that did not keep a limit, by benchmark and by their first column."""
    return [
        f"{name}, {' '.join(map(str, next(iter(row.items()))))}"
        for name, rows in results.items()
        for row in rows
        if any(row.get(limit) is False for limit in LIMITS)
    ]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
