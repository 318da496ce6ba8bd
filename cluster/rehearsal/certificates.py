"""The certificates of one control plane: an authority, a server, one client for each program, a service-account key."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=30)

_CRITICAL = (x509.BasicConstraints, x509.KeyUsage)
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs the certificates of one control plane; its key lives only in this object."""

    def __init__(self, *, now: datetime.datetime) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("rehearsal-authority")
        self._certificate = self._sign(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=0), _SIGNS_CERTIFICATES
        )

    @property
    def certificate(self) -> bytes:
        """What clients and servers trust, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, name: str, *, addresses: Sequence[str], hosts: Sequence[str]) -> Pair:
        """A server's pair, valid for these IP addresses and host names."""
        alternatives = [*(x509.IPAddress(ipaddress.ip_address(a)) for a in addresses), *map(x509.DNSName, hosts)]
        return self._pair(
            _name(name), x509.SubjectAlternativeName(alternatives), _usage(ExtendedKeyUsageOID.SERVER_AUTH)
        )

    def client(self, user: str, *groups: str) -> Pair:
        """The pair by which the API server takes its owner for `user` of `groups`."""
        return self._pair(_name(user, *groups), _usage(ExtendedKeyUsageOID.CLIENT_AUTH))

    def _pair(self, subject: x509.Name, *extensions: x509.ExtensionType) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(subject, key, *extensions)
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - datetime.timedelta(minutes=5))
            .not_valid_after(self._now + LIFETIME)
        )
        identifiers = (  # Python 3.13 trusts no chain whose links do not name each other
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        )
        for extension in (*extensions, *identifiers):
            builder = builder.add_extension(extension, critical=isinstance(extension, _CRITICAL))
        return builder.sign(self._key, hashes.SHA256())


def service_account_key() -> Pair:
    """The key that signs service-account tokens; `certificate` holds the public half, which is no certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Pair(public, private_pem(key))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as Go's TLS reads it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common: str, *groups: str) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(purpose: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([purpose])
