from __future__ import annotations

import pytest

from serving.engine.slots import Slots, SlotsBroken
from serving.engine.state import GenerationState, open_state
from tests.support.contract_runner import spec
from tests.support.generations import request


def state() -> GenerationState:
    return open_state(request(), spec(), now_s=0.0)


def test_the_lowest_free_slot_goes_first() -> None:
    slots = Slots(3)
    owners = [state() for _ in range(3)]
    assert [slots.take(owner) for owner in owners] == [0, 1, 2]
    slots.release(owners[2])
    slots.release(owners[0])
    assert slots.take(state()) == 0
    slots.check_integrity()


def test_owners_come_in_order_of_admission() -> None:
    slots = Slots(2)
    first, second, third = state(), state(), state()
    slots.take(first)
    slots.take(second)
    slots.release(first)
    slots.take(third)
    assert list(slots) == [second, third]


def test_nobody_gets_two_slots() -> None:
    slots, owner = Slots(2), state()
    slots.take(owner)
    with pytest.raises(SlotsBroken):
        slots.take(owner)


def test_nobody_releases_what_is_not_theirs() -> None:
    slots, owner = Slots(1), state()
    with pytest.raises(SlotsBroken):
        slots.release(owner)
    slots.take(owner)
    slots.release(owner)
    slots.take(state())
    with pytest.raises(SlotsBroken):
        slots.release(owner)


@pytest.mark.parametrize("damage", ["lost", "doubled", "moved"])
def test_books_that_do_not_balance_are_found(damage: str) -> None:
    slots, owner = Slots(2), state()
    slots.take(owner)
    if damage == "lost":
        slots._free.clear()
    elif damage == "doubled":
        slots._free.append(0)
    else:
        owner.slot = 1
    with pytest.raises(SlotsBroken):
        slots.check_integrity()
