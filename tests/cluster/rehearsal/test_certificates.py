import datetime
import ipaddress

from cryptography import x509
from cryptography.x509.oid import NameOID

from cluster.rehearsal.certificates import LIFETIME, Authority, service_account_key

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)


def test_a_client_is_named_after_its_user_and_groups_and_signed_by_the_authority() -> None:
    authority = Authority(now=NOW)
    trusted = x509.load_pem_x509_certificate(authority.certificate)
    client = x509.load_pem_x509_certificate(authority.client("jane", "developers", "operators").certificate)
    client.verify_directly_issued_by(trusted)
    assert [a.value for a in client.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    groups = client.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [a.value for a in groups] == ["developers", "operators"]


def test_a_server_is_valid_for_its_addresses_and_hosts_only_and_for_its_lifetime() -> None:
    pair = Authority(now=NOW).server("api", addresses=["127.0.0.1"], hosts=["kubernetes"])
    server = x509.load_pem_x509_certificate(pair.certificate)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes"]
    assert server.not_valid_after_utc == NOW + LIFETIME


def test_the_service_account_key_is_a_pair_of_pem_halves() -> None:
    pair = service_account_key()
    assert pair.certificate.startswith(b"-----BEGIN PUBLIC KEY-----")
    assert pair.key.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_every_certificate_names_its_issuers_key_as_python_3_13_demands() -> None:
    authority = Authority(now=NOW)
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    of_issuer = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    for pem in (authority.certificate, authority.client("jane").certificate):
        found = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        assert found.value.key_identifier == of_issuer
    assert issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
