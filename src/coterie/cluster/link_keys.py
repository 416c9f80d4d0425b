"""The secrets of one runtime's links: the key by which it proves itself, and the certificate for connections of other machines."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import secrets
import socket
import ssl
import tempfile
from pathlib import Path

from coterie.errors import ExtraMissing

_BYTES = 32
_VALID = dt.timedelta(days=3_650)
_NAME = "coterie"


class LinkKeys:
    """A new key, and a new certificate if one is needed. Both end with the runtime, and neither is stored."""

    def __init__(self, *, encrypts: bool) -> None:
        self.key = secrets.token_bytes(_BYTES)
        self.fingerprint = b""
        self._server: ssl.SSLContext | None = None
        if encrypts:
            self._server, self.fingerprint = _server_context()

    def __repr__(self) -> str:
        return "<LinkKeys>"

    def take_encrypted(self, connection: socket.socket) -> socket.socket:
        """Return the encrypted form of a connection that another member has made. Raises `OSError`."""
        if self._server is None:
            raise ConnectionError("this member takes connections of its own machine alone")
        return self._server.wrap_socket(connection, server_side=True)


def make_encrypted(connection: socket.socket, fingerprint: bytes) -> socket.socket:
    """Return the encrypted form of a connection to the member whose certificate has a fingerprint. Raises `OSError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate is known by its fingerprint, from the directory; no authority has signed it.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    encrypted = context.wrap_socket(connection)
    try:
        certificate = encrypted.getpeercert(binary_form=True) or b""
    except OSError:
        # The connection was lost before it was wrapped, so there was no handshake.
        encrypted.close()
        raise
    if not fingerprint or hashlib.sha256(certificate).digest() != fingerprint:
        encrypted.close()
        raise ConnectionError("it has another certificate than the one that the directory names")
    return encrypted


def _server_context() -> tuple[ssl.SSLContext, bytes]:
    try:
        from cryptography import x509  # noqa: PLC0415 - only members that others reach over a network need it
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ExtraMissing("the cluster", "cluster") from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID)
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
    )
    # The library reads keys from files only: this one is readable by its owner, encrypted, and there for a moment.
    password = secrets.token_bytes(_BYTES).hex().encode()
    text = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(password)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Nothing is sent to the side that connects, which only writes.
    context.num_tickets = 0
    handle, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        context.load_cert_chain(path, password=password)
    finally:
        Path(path).unlink()
    der = certificate.public_bytes(serialization.Encoding.DER)
    return context, hashlib.sha256(der).digest()
