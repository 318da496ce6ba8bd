from __future__ import annotations

import pytest

from cluster.rehearsal.kubelet.machine.network import Addresses, NetworkFailed, namespace


def test_an_address_that_was_given_back_is_the_last_to_be_taken_again() -> None:
    addresses = Addresses("10.88.8.0/29")
    first = addresses.take()
    addresses.give_back(first)
    taken = [addresses.take() for _ in range(6)]
    assert taken == [*(f"10.88.8.{n}" for n in range(2, 7)), first]
    with pytest.raises(NetworkFailed, match="no address is left"):
        addresses.take()


def test_a_namespace_is_named_by_its_pods_address() -> None:
    assert namespace("10.88.8.1") == "pod-10.88.8.1"
