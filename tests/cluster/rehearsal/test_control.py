from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.rehearsal import control


@pytest.fixture
def name() -> str:
    return f"\0trainium-chatbot-test-{uuid.uuid4()}"


@pytest.fixture
def listener(name: str) -> Iterator[socket.socket]:
    taken = control.take(name)
    assert taken is not None
    with taken:
        yield taken


def refuse(_component: str) -> dict[str, Any]:
    raise ClusterError("There is no such component.")


def serve_one(listener: socket.socket) -> threading.Thread:
    commands = {"status": lambda component: {"asked of": component}, "stop": refuse}
    thread = threading.Thread(target=control.answer, args=[listener, commands])
    thread.start()
    return thread


def test_only_one_can_hold_it_and_whoever_comes_second_learns_the_firsts_pid(
    name: str, listener: socket.socket
) -> None:
    assert control.take(name) is None
    assert control.holder(name) == os.getpid()


def test_it_is_free_again_when_its_holder_is_gone(name: str) -> None:
    first = control.take(name)
    assert first is not None
    first.close()
    assert control.holder(name) is None
    assert control.ask("status", name=name) is None
    second = control.take(name)
    assert second is not None
    second.close()


def test_a_command_is_answered(name: str, listener: socket.socket) -> None:
    thread = serve_one(listener)
    assert control.ask("status", "kwok", name=name) == {"asked of": "kwok"}
    thread.join()


def test_what_the_lab_refuses_is_its_own_sentence(name: str, listener: socket.socket) -> None:
    thread = serve_one(listener)
    with pytest.raises(ClusterError, match="There is no such component"):
        control.ask("stop", "x", name=name)
    thread.join()


def test_a_holder_that_does_not_answer_is_starting_or_ending(name: str, listener: socket.socket) -> None:
    with pytest.raises(control.Silent, match="starting or ending"):
        control.ask("status", timeout_s=0.01, name=name)


def test_nonsense_is_not_answered_and_does_no_harm(name: str, listener: socket.socket) -> None:
    thread = serve_one(listener)
    with pytest.raises(control.Silent):
        control.ask("explode", name=name)
    thread.join()
