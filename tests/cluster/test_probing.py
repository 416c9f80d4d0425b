"""Each thing that can be wrong with an address is one clear error, soon, and before Ray is asked to connect."""

import datetime as dt
import ipaddress
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from coterie.cluster import machine, probing
from coterie.concurrency import start_thread
from coterie.errors.cluster import ClusterUnavailable
from coterie.kernel import SystemClock

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
HEADERS, PING = 1, 6
END, ACKNOWLEDGED = 5, 1
UNIMPLEMENTED = b"\x88\0\x0ccontent-type\x10application/grpc\0\x0bgrpc-status\x0212"
"""The head of an answer of gRPC with the status 12, in literals; see RFC 7541."""
NOT_FOUND = b"\x8d"


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def read(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = connection.recv(count - len(found))
        if not piece:
            raise ConnectionError
        found += piece
    return found


def speak_http2(head: bytes) -> Callable[[socket.socket], None]:
    """Return a server of HTTP/2 that answers each request with one head."""

    def speak(connection: socket.socket) -> None:
        read(connection, 24)
        connection.sendall(SETTINGS)
        while True:
            start = read(connection, 9)
            body = read(connection, int.from_bytes(start[:3], "big"))
            stream = int.from_bytes(start[5:], "big")
            if start[3] == HEADERS:
                connection.sendall(frame(HEADERS, END, stream, head))
            elif start[3] == PING and not start[4]:
                connection.sendall(frame(PING, ACKNOWLEDGED, 0, body))

    return speak


def greet(connection: socket.socket) -> None:
    connection.sendall(SETTINGS)
    connection.recv(1_000)


def say_http1(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.recv(1_000)


@contextmanager
def serving(speak: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Give the address of a server that speaks with one client after another."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                if context is None:
                    speak(connection)
                else:
                    with context.wrap_socket(connection, server_side=True) as encrypted:
                        speak(encrypted)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = start_thread(serve, "server")
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def problem_of(begin: Callable[[], object]) -> str:
    with pytest.raises(ClusterUnavailable) as caught:
        begin()
    return caught.value.problem


@pytest.mark.parametrize("head", [UNIMPLEMENTED, NOT_FOUND], ids=["grpc", "http"])
def test_another_server_of_http2_is_told_from_the_head_of_ray_at_once(head: bytes) -> None:
    with serving(speak_http2(head)) as address:
        probing.probe(address)
        begun = SystemClock.elapsed()
        problem = problem_of(lambda: probing.check_admission(address))
        assert SystemClock.elapsed() - begun < probing._CHECK
    assert problem.startswith("a process listens there, but it is not the head of Ray: ")
    assert problem.endswith("give the port of the head, which `coterie cluster start --head` printed")


def test_a_server_that_does_not_answer_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    monkeypatch.setattr(probing, "_CHECK", 0.1)
    monkeypatch.setattr("ray._raylet.GcsClient", lambda address: ended.wait(60))
    try:
        problem = problem_of(lambda: probing.check_admission("127.0.0.1:1"))
    finally:
        ended.set()
    assert "has not answered as the head of Ray within 0.1 s; give the port of the head" in problem


def test_a_client_of_ray_that_cannot_be_used_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._raylet.GcsClient", lambda: None)
    probing.check_admission("127.0.0.1:1")


def test_a_machine_that_joins_hears_why_it_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(whole: list[str], **_: Any) -> Any:
        return subprocess.CompletedProcess(whole, machine._NOT_ADMITTED, "it is not the head of Ray\n", "")

    monkeypatch.setattr(machine, "subprocess", SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired))
    with serving(greet) as address:
        assert problem_of(lambda: machine.join(address)) == "it is not the head of Ray"


def test_a_name_without_an_address_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    monkeypatch.setattr(probing, "_PROBE", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(60))
    try:
        problem = problem_of(lambda: probing.probe("head.example:6379"))
    finally:
        ended.set()
    assert "cannot be reached: " in problem
    assert "the name head.example has no address after 0.1 s; look at the DNS" in problem


@pytest.mark.parametrize("name", ["a..b", "x" * 70, "nohost.invalid"])
def test_a_name_that_is_none_cannot_be_reached(name: str) -> None:
    assert problem_of(lambda: probing.probe(f"{name}:6379")).startswith("cannot be reached: ")


class Authority:
    """Signs certificates, and writes the files that Ray's variables name."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        folder.mkdir()
        self.hosts = [x509.IPAddress(ipaddress.ip_address(each)) for each in hosts or ("127.0.0.1",)]
        key = ec.generate_private_key(ec.SECP256R1())
        self.files = {
            "RAY_TLS_CA_CERT": folder / "ca.crt",
            "RAY_TLS_SERVER_CERT": folder / "server.crt",
            "RAY_TLS_SERVER_KEY": folder / "server.key",
        }
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, str(folder)[-40:])])
        self.write("RAY_TLS_CA_CERT", self.certificate(name, name, key, key))
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "machine")])
        self.write("RAY_TLS_SERVER_CERT", self.certificate(subject, name, own, key))
        self.files["RAY_TLS_SERVER_KEY"].write_bytes(
            own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )

    def write(self, name: str, certificate: x509.Certificate) -> None:
        self.files[name].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(self, subject: x509.Name, issuer: x509.Name, key: Any, signs: Any) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=key is signs, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(self.hosts), critical=False)
        )
        return builder.sign(signs, hashes.SHA256())

    def context(self) -> ssl.SSLContext:
        """Return the settings of a server that lets in only those with a certificate of the authority, as Ray's does."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.files["RAY_TLS_SERVER_CERT"], self.files["RAY_TLS_SERVER_KEY"])
        context.load_verify_locations(self.files["RAY_TLS_CA_CERT"])
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        return context

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_USE_TLS", "1")
        for name, file in self.files.items():
            monkeypatch.setenv(name, str(file))


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    folder = tmp_path_factory.mktemp("authorities")
    return Authority(folder / "one"), Authority(folder / "other")


def test_with_tls_a_head_is_told_from_another_server(
    authorities: tuple[Authority, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = authorities
    one.use(monkeypatch)
    with serving(greet, one.context()) as address:
        probing.probe(address)
    with serving(say_http1, one.context()) as address:
        assert "a process listens there, but it is not Ray" in problem_of(lambda: probing.probe(address))
    # As Ray does with one whose certificate it does not accept.
    with serving(lambda connection: connection.close(), one.context()) as address:
        assert "it does not accept the certificate in RAY_TLS_SERVER_CERT" in problem_of(lambda: probing.probe(address))


def test_a_certificate_of_another_authority_is_refused_on_both_sides(
    authorities: tuple[Authority, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = authorities
    one.use(monkeypatch)
    with serving(greet, other.context()) as address:
        assert "its certificate is not accepted: " in problem_of(lambda: probing.probe(address))
        monkeypatch.setenv("RAY_TLS_CA_CERT", str(other.files["RAY_TLS_CA_CERT"]))
        assert "no connection with TLS can be made" in problem_of(lambda: probing.probe(address))


def test_a_certificate_for_another_address_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = Authority(tmp_path / "one", "192.0.2.9")
    one.use(monkeypatch)
    with serving(greet, one.context()) as address:
        assert "certificate is not valid for '127.0.0.1'" in problem_of(lambda: probing.probe(address))


def test_tls_on_one_side_alone_is_told(authorities: tuple[Authority, Authority], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = authorities
    with serving(greet, one.context()) as address:
        assert problem_of(lambda: probing.probe(address)).startswith(
            "it uses TLS, and this process does not: set RAY_USE_TLS=1"
        )
    one.use(monkeypatch)
    with serving(greet) as address:
        assert "no connection with TLS can be made, which RAY_USE_TLS asks for" in problem_of(lambda: probing.probe(address))


@pytest.mark.parametrize("name", ["RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT"])
def test_files_of_tls_that_cannot_be_used_are_named(
    authorities: tuple[Authority, Authority], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    authorities[0].use(monkeypatch)
    monkeypatch.setenv(name, str(tmp_path / "none"))
    assert f"{name} names no file that can be read: {tmp_path / 'none'}" in problem_of(lambda: probing.probe("127.0.0.1:1"))
    monkeypatch.delenv(name)
    assert f"{name} names no file that can be read: it is empty" in problem_of(lambda: probing.probe("127.0.0.1:1"))
    (tmp_path / "none").write_text("no certificate")
    monkeypatch.setenv(name, str(tmp_path / "none"))
    assert "cannot be used" in problem_of(lambda: probing.probe("127.0.0.1:1"))
