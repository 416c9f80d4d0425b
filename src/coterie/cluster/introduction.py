"""The beginning of a connection between two members: each proves to the other that it is the one that the directory names.

The side that connects will only write, and the other will only read. Both know the key of the side that connects: it is its own,
and the other has it from the directory. Each proves it by a keyed hash of two fresh numbers, the names of both runtimes, and the
certificate if the connection is encrypted, so that a process between them can pass for neither. A connection that leaves the
machine is encrypted.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any

import msgspec

from coterie.cluster.link_keys import LinkKeys, make_encrypted
from coterie.cluster.wire import PROTOCOL, VERSION, LinkPlace, decode, encode
from coterie.kernel import SystemClock

ENDED, STRANGER, GIVEN_UP = "ended", "stranger", "given up"
"""The reasons for a refusal: the runtime that is wanted is not there; the one that connects is not known as a member of the
cluster, or was one and counts as lost."""

_WITHIN = 5.0
"""Seconds that the whole introduction may take."""
_NONCE = 32
_LONGEST = 10_000
_PLAIN, _SECURE = b"p", b"s"
_LENGTH = struct.Struct("!I")
_clock = SystemClock()
_UNANSWERED = 20_000
"""Milliseconds after which a connection whose data are not acknowledged has failed."""


class LinkHello(msgspec.Struct, frozen=True):
    """The first word of the side that connects."""

    protocol: int
    version: str
    source: str
    target: str
    nonce: bytes
    proof: bytes


class LinkAnswer(msgspec.Struct, frozen=True):
    """The answer to it."""

    refusal: str = ""
    proof: bytes = b""


def connect(place: LinkPlace, source: str, target: str, key: bytes, *, encrypts: bool) -> tuple[socket.socket | None, str]:
    """Connect to a member, and return the connection; or None and the reason of its refusal. Blocks. Raises `OSError`.

    With `encrypts` a connection within this machine is encrypted too.
    """
    until = _clock.monotonic() + 2 * _WITHIN
    plain = socket.create_connection((place.host, place.port), _WITHIN)
    with _closed_on_error(plain):
        _tune(plain)
        secure = encrypts or not stays_here(plain)
        plain.sendall(_SECURE if secure else _PLAIN)
        fingerprint = place.fingerprint if secure else b""
        connection = make_encrypted(plain, fingerprint) if secure else plain
    with _closed_on_error(connection):
        theirs, own = _receive(connection, _NONCE, until), secrets.token_bytes(_NONCE)
        parts = [theirs, own, source, target, fingerprint]
        _send(connection, encode(LinkHello(PROTOCOL, VERSION, source, target, own, _proof(key, "hello", parts))))
        answer = decode(_receive_part(connection, until), LinkAnswer)
        _check(
            answer.refusal or hmac.compare_digest(answer.proof, _proof(key, "answer", parts)), "it is no member of the cluster"
        )
    if answer.refusal:
        connection.close()
    return None if answer.refusal else connection, answer.refusal


def admit(
    plain: socket.socket,
    keys: LinkKeys,
    target: str,
    key_of: Callable[[str], bytes | None],
    has_ended: Callable[[str], bool],
) -> tuple[socket.socket, str]:
    """Let a member in that has connected; return the connection and its runtime. Blocks.

    `key_of` returns the key of a member, or None for another runtime; `has_ended` tells whether that was a member and was given
    up. Raises `OSError` for one that is refused.
    """
    until = _clock.monotonic() + _WITHIN
    with _closed_on_error(plain):
        plain.settimeout(_WITHIN)
        _tune(plain)
        secure = _receive(plain, 1, until) == _SECURE
        _check(secure or stays_here(plain), "it does not encrypt a connection between machines")
        connection = keys.take_encrypted(plain) if secure else plain
    with _closed_on_error(connection):
        own = secrets.token_bytes(_NONCE)
        connection.sendall(own)
        hello = decode(_receive_part(connection, until), LinkHello)
        parts = [own, hello.nonce, hello.source, hello.target, keys.fingerprint if secure else b""]
        key = key_of(hello.source)
        known = key is not None and hmac.compare_digest(hello.proof, _proof(key, "hello", parts))
        refusal = "" if known else GIVEN_UP if has_ended(hello.source) else STRANGER
        if hello.protocol != PROTOCOL:
            refusal = f"it speaks version {PROTOCOL} of the wire (coterie {VERSION}); install the same version of coterie"
        elif hello.target != target:
            refusal = ENDED
        proof = _proof(key, "answer", parts) if key is not None and known else b""
        _send(connection, encode(LinkAnswer(refusal, proof)))
        _check(not refusal, f"{hello.source[:100]!a} is not let in: {refusal}")
    return connection, hello.source


@contextlib.contextmanager
def _closed_on_error(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, msgspec.DecodeError):
            raise ConnectionError("it introduced itself with nonsense") from error
        raise


def _check(condition: object, problem: str) -> None:
    if not condition:
        raise ConnectionError(problem)


def stays_here(connection: socket.socket) -> bool:
    """Return whether both ends of a connection are on this machine."""
    own, other = connection.getsockname()[0], connection.getpeername()[0]
    return bool(own == other) or (is_loopback(own) and is_loopback(other))


def is_loopback(host: str) -> bool:
    """Return whether an address leads to this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tune(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED)


def _proof(key: bytes, role: str, parts: Sequence[Any]) -> bytes:
    return hmac.digest(key, encode([role, *parts]), "sha256")


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(data)) + data)


def _receive_part(connection: socket.socket, until: float | None = None) -> bytes:
    (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size, until))
    _check(length <= _LONGEST, "it introduced itself with nonsense")
    return _receive(connection, length, until)


def _receive(connection: socket.socket, count: int, until: float | None = None) -> bytes:
    """Return so many bytes. `until` is the time by which all must be there, however they come. Raises `OSError`."""
    data = b""
    while len(data) < count:
        left = None if until is None else until - _clock.monotonic()
        try:
            if left is not None:
                connection.settimeout(max(left, 0.001))
            more = connection.recv(count - len(data))
        except TimeoutError:
            left = 0.0
        if left is not None and left <= 0:
            raise TimeoutError("it introduced itself too slowly")
        if not more:
            raise ConnectionResetError("it closed the connection")
        data += more
    return data
