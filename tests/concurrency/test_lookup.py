"""The address of a host's name, and connections, come within a limit of time."""

import socket
from collections.abc import Iterator
from threading import Event

import pytest

from coterie.concurrency.lookup import connect_to_any, look_up, within
from coterie.kernel import Countdown


@pytest.fixture
def no_dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system that looks names up for ever."""
    ended = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(60))
    yield
    ended.set()


def test_a_lookup_that_does_not_end_is_given_up(no_dns: None) -> None:
    with pytest.raises(socket.gaierror, match=r"the name head\.example has no address after 0\.05 s; look at the DNS"):
        look_up("head.example", 80, 0.05)


def test_an_error_of_an_action_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(10.0, lambda: 1 // 0, "divides")
    assert within(10.0, lambda: 7, "counts") == 7


def test_a_name_that_cannot_be_one_has_no_address() -> None:
    with pytest.raises(socket.gaierror, match="cannot be the name of a host"):
        look_up("a..b", 80, 10.0)


def test_the_first_place_that_takes_a_connection_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        closed = look_up("127.0.0.1", other.getsockname()[1], 10.0)
        other.close()
        places = closed + look_up("127.0.0.1", server.getsockname()[1], 10.0)
        with connect_to_any(places, Countdown(10.0)) as connection:
            assert connection.getpeername() == server.getsockname()
        with pytest.raises(ConnectionRefusedError):
            connect_to_any(closed, Countdown(10.0))
