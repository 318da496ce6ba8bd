"""What is paid for: the NodeClaims that the chatbot's pods stand on, from their making until they are gone, by instance type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from loadtest.observers import Machine, Sample
from loadtest.observers.kubernetes.objects import created_s, dig, labels, name
from loadtest.observers.kubernetes.snapshot import POOL, TYPE, Snapshot


class Machines:
    """Remembers those that are gone."""

    def __init__(self, usd_per_h: Mapping[str, float]) -> None:
        self._usd_per_h = usd_per_h
        self._seen: dict[str, Machine] = {}  # instants in seconds since 1970: the run's clock begins anew with the load

    def seen(self, snapshot: Snapshot, offset_s: float) -> tuple[Machine, ...]:
        """All so far, on the run's clock."""
        there = {name(claim) for claim in snapshot.claims}
        ours = {name(claim) for claim in (*snapshot.claims_of(snapshot.heads), *snapshot.worker_claims)}
        for claim in snapshot.claims:
            if name(claim) not in ours | self._seen.keys():
                continue  # others' machines are not this run's money
            kind = labels(claim).get(TYPE, "")
            known = self._seen.get(name(claim))
            if known is None or known.instance_type != kind:  # a claim is made before its type is chosen
                from_s = created_s(claim) or snapshot.taken_unix_s
                pool = labels(claim).get(POOL, "")
                known = Machine(name(claim), kind, pool, from_s, None, self._usd_per_h.get(kind))
            self._seen[name(claim)] = replace(known, pods=_pods(snapshot, dig(claim, "status", "nodeName"), known.pods))
        for machine in self._seen.values():
            if machine.name not in there and machine.until_s is None:
                self._seen[machine.name] = replace(machine, until_s=snapshot.taken_unix_s)
        return tuple(
            replace(m, from_s=m.from_s - offset_s, until_s=None if m.until_s is None else m.until_s - offset_s)
            for m in self._seen.values()
        )

    def samples(self, now_s: float) -> Iterable[Sample]:
        """What an hour costs now, the head's machine included; nothing where no price is known."""
        if self._usd_per_h:
            rate = sum(m.usd_per_h or 0.0 for m in self._seen.values() if m.until_s is None)
            yield Sample("usd_per_hour", now_s, rate)


def _pods(snapshot: Snapshot, node: Any, before: tuple[str, ...]) -> tuple[str, ...]:
    """With the head's and workers' pods that are bound to the node by now."""
    bound = [name(pod) for pod in (*snapshot.heads, *snapshot.workers) if node and dig(pod, "spec", "nodeName") == node]
    return (*before, *(pod for pod in bound if pod not in before))
