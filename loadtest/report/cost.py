"""What the run cost, and what a token costs at that rate. Pure; no price, no figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from loadtest.observers import Sample
from loadtest.spec import Cost


def estimate(
    prices: Cost, samples: Sequence[Sample], *, loaded_s: float, until_s: float, output_tokens: int
) -> dict[str, Any]:
    """Node-seconds × price; nodes are those the observers counted, else one per running replica."""
    counted = "nodes_ready" if any(sample.name == "nodes_ready" for sample in samples) else "replicas_running"
    loaded_node_s, all_node_s = (node_seconds(samples, counted, until_s=end_s) for end_s in (loaded_s, until_s))
    document: dict[str, Any] = {
        "node_usd_per_h": prices.node_usd_per_h,
        "node_seconds": all_node_s,
        "nodes_counted_as": counted,
        "usd_per_million_output_tokens_loaded": None,
        "usd_per_million_output_tokens_all": None,
        "break_even_tokens_per_s": None,
        "sentence": "No price was given (cost.node_usd_per_h in the profile), so nothing is computed",
    }
    if prices.node_usd_per_h is None or not output_tokens:
        return document
    usd_per_s = prices.node_usd_per_h / 3600
    loaded, whole = (seconds * usd_per_s / output_tokens * 1e6 for seconds in (loaded_node_s, all_node_s))
    document |= {"usd_per_million_output_tokens_loaded": loaded, "usd_per_million_output_tokens_all": whole}
    document["sentence"] = (
        f"{loaded:.2f} USD per million output tokens while loaded, {whole:.2f} with cold start and idle time"
    )
    if prices.hosted_usd_per_million_tokens is not None:
        rate = usd_per_s / prices.hosted_usd_per_million_tokens * 1e6
        document["break_even_tokens_per_s"] = rate
        document["sentence"] += (
            f"; a node breaks even with a hosted price of {prices.hosted_usd_per_million_tokens:g} USD "
            f"at {rate:.0f} tokens/s"
        )
    return document


def node_seconds(samples: Sequence[Sample], name: str, *, until_s: float) -> float:
    """The integral of a counted figure up to `until_s`."""
    points = [(sample.at_s, sample.value) for sample in samples if sample.name == name and sample.at_s <= until_s]
    if not points:
        return 0.0
    points.append((until_s, points[-1][1]))
    return sum((later - earlier) * value for (earlier, value), (later, _) in pairwise(points))
