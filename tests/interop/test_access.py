"""Authentication, and limits of requests."""

import logging
import socket
from collections.abc import Iterator

import pytest

from coterie.errors import InvalidSetting
from coterie.interop import AccessToken, ServingOptions
from tests.interop.served import SECRET, Served, served

PATHS = [
    ("POST", "/agui"),
    ("GET", "/agui/t/events"),
    ("GET", "/agui/t/operations"),
    ("POST", "/agui/t/operations/op-1/cancel"),
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/telemetry"),
    ("GET", "/metrics"),
    ("GET", "/nothing"),
    ("GET", "/health/"),
    ("GET", "//health"),
]


WRONG = [None, "", "Bearer", "Bearer wrong", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Basic {SECRET}", SECRET]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_requests_without_the_token_are_rejected(server: Served, method: str, path: str) -> None:
    with server.client(token=None) as client:
        for header in WRONG:
            reply = client.request(method, path, headers={} if header is None else {"Authorization": header})
            assert reply.status_code == 401, header
            assert reply.json()["error"]["code"] == "invalid_api_key"
            assert SECRET not in reply.text


def test_two_tokens_are_none(server: Served) -> None:
    with server.client(token=None) as client:
        reply = client.get("/v1/models", headers=[("Authorization", "Bearer wrong"), ("Authorization", f"Bearer {SECRET}")])
    assert reply.status_code == 401


def test_health_needs_no_login_and_shows_nothing_else(server: Served) -> None:
    with server.client(token=None) as client:
        assert client.get("/health").json() == {"status": "ok"}


def test_the_token_is_shown_and_logged_nowhere(server: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), server.client() as client:
        client.get("/v1/models")
        client.post("/agui", content=b"not json")
    assert SECRET not in caplog.text
    assert SECRET not in repr(AccessToken(SECRET))


@pytest.mark.parametrize("weak", ["short", "a" * 15, "with some spaces in it", "new\nline-in-the-middle"])
def test_a_weak_token_is_refused_and_not_repeated(weak: str) -> None:
    with pytest.raises(InvalidSetting, match="at least 16 printable characters") as caught:
        AccessToken(weak)
    assert weak not in str(caught.value)


def test_a_token_comes_from_the_environment_or_is_generated() -> None:
    assert AccessToken.of({"COTERIE_TOKEN": SECRET}).matches(SECRET)
    one, other = AccessToken.of({}), AccessToken.of({})
    assert one.generated
    assert one.matches(one.reveal())
    assert not one.matches(other.reveal())


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "example.org", "::", ""])  # noqa: S104 - to be refused
def test_other_machines_are_not_let_in_by_accident(host: str) -> None:
    with pytest.raises(InvalidSetting, match="loopback"):
        ServingOptions(host=host)
    assert ServingOptions(host=host, expose=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_this_machine_is(host: str) -> None:
    assert ServingOptions(host=host).host == host


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"port": 70_000},
        {"body_limit": 0},
        {"heartbeat": 0},
        {"origins": ("*",)},
        {"drain": -1},
        {"user_headers": ("",)},
    ],
)
def test_impossible_options_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidSetting, match=f"ServingOptions.{next(iter(wrong))}"):
        ServingOptions(**wrong)  # type: ignore[arg-type] # they are wrong on purpose


def test_a_too_long_body_is_refused_with_or_without_content_length(server: Served) -> None:
    long = b'"' + b"x" * 16_000_001 + b'"'
    with server.client() as client:
        for content in (long, iter([long[:500_000], long[500_000:]])):
            reply = client.post("/agui", content=content)
            assert reply.status_code == 413
            assert "16000000 bytes" in reply.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 50_000, b'{"a": NaN}'])
def test_an_invalid_json_body_is_refused(server: Served, body: bytes) -> None:
    with server.client() as client:
        for path in ("/agui", "/v1/chat/completions"):
            reply = client.post(path, content=body)
            assert reply.status_code == 400, reply.text
            assert reply.json()["error"]["code"] == "invalid_json"


def test_unknown_paths_and_methods_get_404_and_405(server: Served) -> None:
    with server.client() as client:
        assert client.get("/nothing").json()["error"]["message"] == "there is nothing at /nothing"
        wrong = client.get("/agui")
        assert (wrong.status_code, wrong.json()["error"]["message"]) == (405, "GET is not possible at /agui")


def test_a_garbage_connection_harms_no_other(server: Served) -> None:
    port = int(server.address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        connection.recv(1000)
    with server.client(token=None) as client:
        assert client.get("/health").status_code == 200


def test_only_named_pages_may_call_from_a_browser(server: Served) -> None:
    with server.client() as client:
        reply = client.get("/v1/models", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in reply.headers
