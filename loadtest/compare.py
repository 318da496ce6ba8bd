"""Two runs side by side: every figure of both, and their ratio. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PERCENTILES = ("p50", "p95", "p99")


def build(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """`chatbot.comparison/v1`: b ÷ a for each figure that both have."""
    return {
        "schema": "chatbot.comparison/v1",
        "a": _identity(a),
        "b": _identity(b),
        "cautions": list(_cautions(a, b)),
        "figures": [
            _figure(name, better, of_a, of_b)
            for (name, better, of_a), (_, _, of_b) in zip(_figures(a), _figures(b), strict=True)
        ],
    }


def lines(comparison: Mapping[str, Any]) -> Iterator[str]:
    """For a terminal."""
    for side in ("a", "b"):
        run = comparison[side]
        yield f"{side.upper()}  {run['profile']} at {run['started_at']}, seed {run['seed']}, {run['model']}: {run['verdict']}"
    for caution in comparison["cautions"]:
        yield f"!  {caution}"
    yield ""
    yield f"{'':<28}{'A':>12}{'B':>12}{'B / A':>9}"
    for row in comparison["figures"]:
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}×"
        yield f"{row['name']:<28}{_number(row['a']):>12}{_number(row['b']):>12}{ratio:>9}  {row['judgement']}"


def _identity(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "profile": document["profile"]["name"],
        "seed": document["seed"],
        "model": document["model"],
        "started_at": document["started_at"],
        "verdict": document["verdict"],
        "target": document["target"]["name"],
    }


def _cautions(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """What makes the two hard to compare."""
    if a["profile"] != b["profile"]:
        yield "the profiles differ: the ratios compare loads as well as services"
    elif a["seed"] != b["seed"]:
        yield "the seeds differ: arrivals and prompts are not the same"
    for what, of_a, of_b in zip(("models", "runners", "targets"), _served(a), _served(b), strict=True):
        if of_a != of_b:
            yield f"the {what} differ: {of_a} and {of_b}"
    for side, document in (("A", a), ("B", b)):
        if document["verdict"] == "void":
            yield f"{side} is void: {document['void_reasons'][0]}"


def _served(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """What answered, behind which runner, where."""
    target = document["target"]
    runners = ", ".join(document["fingerprints"]) or "(did not say)"
    return document["model"], runners, f"{target['name']} at {target['base_url']}"


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, str, float | None]]:
    total = document["traffic"]["total"]
    for name, found in total["latency"].items():
        for percentile in _PERCENTILES:
            yield f"{name} {percentile}", "lower", found and found[percentile]
    yield "goodput", "higher", total["goodput"]["share"]
    yield "completed_per_s", "higher", total["completed_per_s"]
    yield "completion_tokens_per_s", "higher", total["tokens"]["completion_per_s"]
    started = total["started"]
    bad = started - total["outcomes"]["ok"] - total["outcomes"]["cancelled"]
    yield "failed share", "lower", bad / started if started else None
    yield "slo_violating_s", "lower", document["slo_violating_s"]
    for stage in ("serve-target-raised", "replica-running", "first-token"):
        yield f"{stage} at_s", "lower", _stage_at(document, stage)


def _stage_at(document: Mapping[str, Any], name: str) -> float | None:
    """When the first new replica reached a link, from the load."""
    for chain in document["scale_out"]:
        for stage in chain["stages"]:
            if stage["name"] == name and stage["at_s"] is not None:
                return float(stage["at_s"] - chain["stages"][0]["at_s"])
    return None


def _figure(name: str, better: str, a: float | None, b: float | None) -> dict[str, Any]:
    ratio = b / a if a and b is not None else None
    return {"name": name, "better": better, "a": a, "b": b, "ratio": ratio, "judgement": _judgement(better, a, b)}


def _judgement(better: str, a: float | None, b: float | None) -> str:
    """Beyond five per cent; less is noise between two runs."""
    if a is None or b is None or abs(b - a) <= 0.05 * max(abs(a), abs(b)):
        return ""
    return "better" if (b < a) == (better == "lower") else "worse"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
