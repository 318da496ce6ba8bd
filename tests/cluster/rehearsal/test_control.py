from __future__ import annotations

import contextlib
import errno
import json
import os
import select
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


def test_it_is_waited_for_until_the_last_that_inherited_it_is_gone(name: str, listener: socket.socket) -> None:
    last = os.dup(listener.fileno())
    waiting = threading.Thread(target=control.wait_until_free, args=[60], kwargs={"name": name})
    waiting.start()
    assert select.select([listener], [], [], 60)[0]  # it is asked, and nobody answers
    listener.close()
    assert control.holder(name) is not None
    assert waiting.is_alive()
    os.close(last)
    waiting.join()
    assert control.holder(name) is None


def test_a_wait_for_a_socket_that_nobody_holds_is_none_and_one_that_stays_held_is_a_sentence(name: str) -> None:
    control.wait_until_free(0, name=name)
    held = control.take(name)
    assert held is not None
    with held, pytest.raises(control.Silent, match="has not ended after 0 s"):
        control.wait_until_free(0.01, name=name)


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


def test_a_holder_whose_queue_is_full_is_starting_or_ending(name: str, listener: socket.socket) -> None:
    with contextlib.ExitStack() as asking:
        result = 0
        while result == 0:
            connection = asking.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.setblocking(False)
            result = connection.connect_ex(name)
        assert result == errno.EAGAIN
        with pytest.raises(control.Silent, match="starting or ending"):
            control.ask("status", name=name)


def test_whoever_waits_hears_at_once_that_the_holder_has_ended(name: str, listener: socket.socket) -> None:
    answers: list[dict[str, Any] | None] = []
    thread = threading.Thread(target=lambda: answers.append(control.ask("status", timeout_s=600, name=name)))
    thread.start()
    select.select([listener], [], [])
    listener.close()
    thread.join()
    assert answers == [None]


def test_half_an_answer_is_none(name: str, listener: socket.socket) -> None:
    def break_off() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b'{"compo')

    thread = threading.Thread(target=break_off)
    thread.start()
    with pytest.raises(control.Silent, match="is ending"):
        control.ask("status", name=name)
    thread.join()


def test_an_unknown_command_is_refused_with_those_that_there_are(name: str, listener: socket.socket) -> None:
    thread = serve_one(listener)
    with pytest.raises(ClusterError, match="no command 'explode': it knows status, stop"):
        control.ask("explode", name=name)
    thread.join()


@pytest.mark.parametrize(
    "line", [b"5", b"null", b"[]", b"[1, 2]", b'"status"', b'["status", {}]', b"{}", b"\xff", b"[" * 4000]
)
def test_an_odd_line_is_answered_by_a_sentence_and_ends_nothing(
    name: str, listener: socket.socket, line: bytes
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(name)
        connection.sendall(line + b"\n")
        control.answer(listener, {})
        assert "one line of JSON" in json.loads(connection.makefile("rb").readline())["error"]


def test_whoever_hangs_up_ends_nothing(name: str, listener: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(name)
    control.answer(listener, {})


@pytest.mark.parametrize("failure", [OSError("the disk is full"), ValueError("the disk is full")])
def test_what_fails_in_a_command_is_told_and_not_taken_for_a_hang_up(
    name: str, listener: socket.socket, failure: Exception
) -> None:
    def fail(_component: str) -> dict[str, Any]:
        raise failure

    thread = threading.Thread(target=control.answer, args=[listener, {"restart": fail}])
    thread.start()
    with pytest.raises(ClusterError, match="the disk is full"):
        control.ask("restart", "kwok", name=name)
    thread.join()


def test_another_user_is_told_so(name: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_peer", lambda _connection: (1, os.getuid() + 54_321, 1))
    thread = serve_one(listener)
    with pytest.raises(ClusterError, match="The lab is another user's"):
        control.ask("stop", "kwok", name=name)
    thread.join()
