"""Who owns which slot of the runner."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from serving.engine.state import GenerationState


class SlotsBroken(Exception):
    """The books do not balance: a defect of ours, after which no slot can be trusted."""


class Slots:
    """A fixed number of slots, each free or owned by one generation."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count))  # a heap: the lowest free slot goes first
        self._owners: dict[int, GenerationState] = {}  # in order of admission

    def __len__(self) -> int:
        """Slots in use."""
        return len(self._owners)

    def __iter__(self) -> Iterator[GenerationState]:
        """The owners, in order of admission."""
        return iter(self._owners.values())

    @property
    def any_free(self) -> bool:
        """Whether `take` would find one."""
        return bool(self._free)

    def take(self, owner: GenerationState) -> int:
        """Give `owner` a slot. Raises SlotsBroken when it has one already, IndexError when none is free."""
        if owner.slot is not None:
            raise SlotsBroken(f"generation {owner.request.request_id} was given a second slot")
        slot = heapq.heappop(self._free)
        owner.slot = slot
        self._owners[slot] = owner
        return slot

    def release(self, owner: GenerationState) -> None:
        """Take `owner`'s slot back. Raises SlotsBroken when it is not its owner."""
        if owner.slot is None or self._owners.get(owner.slot) is not owner:
            raise SlotsBroken(f"generation {owner.request.request_id} released a slot that it does not own")
        del self._owners[owner.slot]
        heapq.heappush(self._free, owner.slot)

    def check_integrity(self) -> None:
        """Free and used slots are all slots, each once, and every owner knows its slot; else raises SlotsBroken."""
        if sorted([*self._free, *self._owners]) != list(range(self.count)):
            raise SlotsBroken(f"free {sorted(self._free)} and used {sorted(self._owners)} are not all {self.count}")
        for slot, owner in self._owners.items():
            if owner.slot != slot:
                raise SlotsBroken(f"slot {slot} is owned by a generation that thinks it has {owner.slot}")
            if owner.finished is not None:
                raise SlotsBroken(f"slot {slot} is owned by a generation that has ended")
