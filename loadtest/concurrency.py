"""How many requests were in flight, averaged as an autoscaler averages them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from loadtest.record import Record


def busiest(records: Sequence[Record], window_s: float) -> float:
    """The largest mean number of requests in flight over any `window_s` seconds; the run before and after counts as empty."""
    changes = sorted(step for r in records for step in ((r.dispatched_s, 1), (r.ended_s, -1)))
    instants = [at_s for at_s, _ in changes]
    levels = list(accumulate(change for _, change in changes))
    areas = [
        0.0,
        *accumulate(level * (later - at_s) for (at_s, later), level in zip(pairwise(instants), levels, strict=False)),
    ]

    def until(at_s: float) -> float:
        """Request-seconds up to an instant."""
        place = bisect_right(instants, at_s) - 1
        return 0.0 if place < 0 else areas[place] + levels[place] * (at_s - instants[place])

    # The mean rises and falls in straight lines: it is largest where the window begins or ends with a change.
    begins = [begin_s for at_s in instants for begin_s in (at_s, at_s - window_s)]
    return max(((until(begin_s + window_s) - until(begin_s)) / window_s for begin_s in begins), default=0.0)
