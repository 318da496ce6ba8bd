from __future__ import annotations

from collections.abc import Iterator

import pytest
from dnslib import QTYPE, RCODE, DNSRecord  # type: ignore[import-untyped]

from cluster.rehearsal.kubelet.dns.server import Server, answer
from cluster.rehearsal.kubelet.dns.zone import Zone

NAME = "web.ns.svc.cluster.local"


def asked(name: str, kind: str = "A") -> bytes:
    return bytes(DNSRecord.question(name, kind).pack())


def addresses(reply: DNSRecord) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


def test_a_known_name_is_answered_with_all_its_addresses() -> None:
    reply = answer(asked(NAME), Zone({NAME: ("10.88.8.1", "10.88.8.2")}))
    assert addresses(reply) == ["10.88.8.1", "10.88.8.2"]
    assert reply.header.aa == 1


def test_a_known_name_has_no_address_of_the_other_family() -> None:
    reply = answer(asked(NAME, "AAAA"), Zone({NAME: ("10.88.8.1",)}))
    assert (reply.header.rcode, reply.rr) == (RCODE.NOERROR, [])


def test_an_unknown_name_does_not_exist() -> None:
    assert answer(asked("example.com"), Zone()).header.rcode == RCODE.NXDOMAIN


@pytest.fixture
def server() -> Iterator[Server]:
    many = tuple(f"10.88.8.{n}" for n in range(1, 61))
    running = Server("127.0.0.1", lambda: Zone({NAME: ("10.88.8.1",), f"many.{NAME}": many}), port=0)
    running.start()
    yield running
    running.stop()


def test_questions_are_answered_over_both_transports(server: Server) -> None:
    for tcp in (False, True):
        packed = DNSRecord.question(NAME).send("127.0.0.1", server.port, tcp=tcp, timeout=60)
        assert addresses(DNSRecord.parse(packed)) == ["10.88.8.1"]


def test_an_answer_too_long_for_a_datagram_is_had_over_tcp(server: Server) -> None:
    question = DNSRecord.question(f"many.{NAME}")
    short = DNSRecord.parse(question.send("127.0.0.1", server.port, timeout=60))
    assert (short.header.tc, short.rr) == (1, [])
    whole = DNSRecord.parse(question.send("127.0.0.1", server.port, tcp=True, timeout=60))
    assert len(whole.rr) == 60
    assert {record.rtype for record in whole.rr} == {QTYPE.A}
