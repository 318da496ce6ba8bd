"""What the run cost, and what a token costs at that rate. Pure; no price, no figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from loadtest.observers import Machine, Sample
from loadtest.spec import Cost


def estimate(
    prices: Cost,
    samples: Sequence[Sample],
    machines: Sequence[Machine],
    *,
    loaded_s: float,
    until_s: float,
    output_tokens: int,
    loaded_output_tokens: float,
) -> dict[str, Any]:
    """By what each machine cost while it was there, where their prices are known; else node-seconds × one price.

    Nodes are the workers' that the observers counted, else one per running replica; machines are all, the head's too.
    `loaded_output_tokens` arrived before `loaded_s`, the rest while the service drained.
    """
    counted = "nodes_ready" if any(sample.name == "nodes_ready" for sample in samples) else "replicas_running"
    loaded_node_s, all_node_s = (node_seconds(samples, counted, until_s=end_s) for end_s in (loaded_s, until_s))
    usd_loaded, usd_all = (_usd(machines, until_s=end_s) for end_s in (loaded_s, until_s))
    node_usd_per_h = prices.node_usd_per_h
    if usd_all is None and node_usd_per_h is not None:
        usd_loaded, usd_all = loaded_node_s * node_usd_per_h / 3600, all_node_s * node_usd_per_h / 3600
    elif node_usd_per_h is None:
        node_usd_per_h = max((machine.usd_per_h for machine in machines if machine.usd_per_h is not None), default=None)
    document: dict[str, Any] = {
        "node_usd_per_h": node_usd_per_h,
        "node_seconds": all_node_s,
        "nodes_counted_as": counted,
        "machines": [_row(machine, until_s) for machine in machines if _seconds(machine, until_s)],
        "usd_loaded": usd_loaded,
        "usd_all": usd_all,
        "usd_per_million_output_tokens_loaded": None,
        "usd_per_million_output_tokens_all": None,
        "break_even_tokens_per_s": None,
        "sentence": "No price was given (cost.node_usd_per_h in the profile), so nothing is computed",
    }
    if usd_loaded is None or usd_all is None:
        return document
    document["sentence"] = f"{usd_all:.4f} USD for the machines of this run{_unpriced(machines)}"
    if not output_tokens or not loaded_output_tokens:
        return document
    loaded, whole = usd_loaded / loaded_output_tokens * 1e6, usd_all / output_tokens * 1e6
    document |= {"usd_per_million_output_tokens_loaded": loaded, "usd_per_million_output_tokens_all": whole}
    document["sentence"] += (
        f": {loaded:.2f} USD per million output tokens while loaded, {whole:.2f} with cold start and idle time"
    )
    if prices.hosted_usd_per_million_tokens is not None and node_usd_per_h is not None:
        rate = node_usd_per_h / 3600 / prices.hosted_usd_per_million_tokens * 1e6
        document["break_even_tokens_per_s"] = rate
        document["sentence"] += (
            f"; a node breaks even with a hosted price of {prices.hosted_usd_per_million_tokens:g} USD "
            f"at {rate:.0f} tokens/s"
        )
    return document


def _usd(machines: Sequence[Machine], *, until_s: float) -> float | None:
    """Of all from the start to `until_s`; None where no price is known."""
    priced = [machine for machine in machines if machine.usd_per_h is not None]
    return sum(_seconds(m, until_s) * (m.usd_per_h or 0.0) / 3600 for m in priced) if priced else None


def _unpriced(machines: Sequence[Machine]) -> str:
    """What the sum leaves out: it is only as whole as the list of prices."""
    without = sum(machine.usd_per_h is None for machine in machines)
    return f" ({without} more without a known price)" if machines and without else ""


def _seconds(machine: Machine, until_s: float) -> float:
    """How long it was there within the run."""
    end_s = until_s if machine.until_s is None else min(machine.until_s, until_s)
    return max(0.0, end_s - max(0.0, machine.from_s))


def _row(machine: Machine, until_s: float) -> dict[str, Any]:
    usd = None if machine.usd_per_h is None else _seconds(machine, until_s) * machine.usd_per_h / 3600
    return {**asdict(machine), "pods": list(machine.pods), "usd": usd}


def node_seconds(samples: Sequence[Sample], name: str, *, until_s: float) -> float:
    """The integral of a counted figure up to `until_s`."""
    points = [(sample.at_s, sample.value) for sample in samples if sample.name == name and sample.at_s <= until_s]
    if not points:
        return 0.0
    points.append((until_s, points[-1][1]))
    return sum((later - earlier) * value for (earlier, value), (later, _) in pairwise(points))
