"""Answers DNS questions over UDP and TCP from the zone as it is at that moment."""

from __future__ import annotations

import logging
import socketserver
import struct
import threading
from collections.abc import Callable
from typing import cast

from dnslib import QTYPE, RCODE, RR, A, DNSError, DNSRecord  # type: ignore[import-untyped]

from cluster.rehearsal.kubelet.dns.zone import Zone

PORT = 53
TTL_S = 5  # CoreDNS' own for the cluster's names
_UDP_BYTES = 512
_TCP_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


def answer(question: bytes, zone: Zone) -> DNSRecord:
    """The reply to one message. Raises DNSError where it is none."""
    asked = DNSRecord.parse(question)
    reply = asked.reply(ra=0, aa=1)
    name = str(asked.q.qname)
    addresses = zone.lookup(name)
    if addresses is None:
        reply.header.rcode = RCODE.NXDOMAIN
    elif asked.q.qtype in {QTYPE.A, QTYPE.ANY}:
        for address in addresses:
            reply.add_answer(RR(name, QTYPE.A, rdata=A(address), ttl=TTL_S))
    return reply


class Server:
    """Both transports on one address, each question in a thread."""

    def __init__(self, address: str, zone: Callable[[], Zone], port: int = PORT) -> None:
        """Listens from now on. Raises OSError where the port is taken."""
        # TCP first: where any port will do, one that is free for TCP is as good as surely free for UDP, and not vice versa.
        self._tcp = _Tcp((address, port), zone)
        self._udp = _Udp((address, self.port), zone)

    @property
    def port(self) -> int:
        """The one that was asked for, or the free one that 0 stands for."""
        return int(self._tcp.server_address[1])

    def start(self) -> None:
        """Answer from now on."""
        for server in (self._udp, self._tcp):
            threading.Thread(target=server.serve_forever, name="dns", daemon=True).start()

    def stop(self) -> None:
        """Answer no more; only after `start`."""
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], zone: Callable[[], Zone]) -> None:
        self.zone = zone
        super().__init__(address, _UdpHandler)


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], zone: Callable[[], Zone]) -> None:
        self.zone = zone
        super().__init__(address, _TcpHandler)


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        question, socket = self.request
        try:
            reply = answer(question, cast(_Udp, self.server).zone())
        except DNSError as error:
            _log.debug("not a DNS question: %s", error)
            return
        packed = reply.pack()
        socket.sendto(packed if len(packed) <= _UDP_BYTES else reply.truncate().pack(), self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    timeout = _TCP_TIMEOUT_S

    def handle(self) -> None:
        """One question after another, each with its length before it, until the client has none left."""
        while len(head := self.rfile.read(2)) == 2:
            (length,) = struct.unpack("!H", head)
            try:
                packed = answer(self.rfile.read(length), cast(_Tcp, self.server).zone()).pack()
            except DNSError as error:
                _log.debug("not a DNS question: %s", error)
                return
            self.wfile.write(struct.pack("!H", len(packed)) + packed)
