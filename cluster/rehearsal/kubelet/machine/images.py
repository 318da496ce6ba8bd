"""Which images a node has: pulled once for each node, in the scenario's time, or unknown to the registry."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.rehearsal.kubelet.config import Image
from cluster.rehearsal.kubelet.pod.pulling import Arrival, NotFound
from cluster.rehearsal.scenario import Scenario


@dataclass(slots=True)
class Images:
    """The simulated registry and every node's store. Safe for threads."""

    known: Mapping[str, Image]
    scenario: Scenario  # scaled
    _arrivals: dict[tuple[str, str], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pull(self, node: str, reference: str, now: float) -> Arrival:
        """Have it brought to the node (by uid), or learn when it will have been. Raises NotFound."""
        if reference not in self.known or reference in self.scenario.broken.images_missing:
            raise NotFound(f'failed to pull and unpack image "{reference}": {reference}: not found')
        seconds = float(self.scenario.image_pull_s.get(reference, 0.0))
        with self._lock:
            at = self._arrivals.get((node, reference))
            if at is None:
                self._arrivals[node, reference] = now + seconds
                return Arrival(now + seconds, seconds, is_first=True)
            return Arrival(at, seconds, is_first=False)

    def forget(self, node: str) -> None:
        """The node is gone, and its disk with it."""
        with self._lock:
            for key in [key for key in self._arrivals if key[0] == node]:
                del self._arrivals[key]
