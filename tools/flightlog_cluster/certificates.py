"""Keys and certificates of a throw-away control plane."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFETIME = datetime.timedelta(days=30)


def write_certificates(folder: Path, addresses: tuple[str, ...] = ("127.0.0.1",)) -> None:
    """Make `ca.crt`, `ca.key`, `server.crt`, `server.key` and `accounts.key` in a folder, unless they are there.

    The server's certificate is for the addresses, and for the names by which pods call it.
    """
    if (folder / "server.crt").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    authority, server, accounts = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    issuer = _name("flightlog test authority")
    root = (
        _builder(issuer, issuer, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority, hashes.SHA256())
    )
    names = [x509.DNSName(name) for name in ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")]
    ips = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        _builder(issuer, _name("kube-apiserver"), server.public_key())
        .add_extension(x509.SubjectAlternativeName([*names, *ips]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    for file, key in (("ca.key", authority), ("server.key", server), ("accounts.key", accounts)):
        path = folder / file
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
    (folder / "ca.crt").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _builder(issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
