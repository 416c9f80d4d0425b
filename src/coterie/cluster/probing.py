"""Looks at an address before Ray does, which would try for 40 seconds: each thing that can be wrong is one clear error soon."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl

from coterie.concurrency.lookup import Places, connect_to_any, look_up, within
from coterie.errors import describe
from coterie.errors.cluster import ClusterUnavailable
from coterie.kernel import Countdown

ADMISSION = "copy ~/.coterie/cluster-token of the head to the same place here, or name its copy by RAY_AUTH_TOKEN_PATH with RAY_AUTH_MODE=token"
REFUSED = "it does not let this machine in, which has another token than the cluster, or none"
_PORT = "give the port of the head, which `coterie cluster start --head` printed"
_PROBE = 5.0
"""Seconds for the address of a host's name, the connection and the greeting together."""
_CHECK = 8.0
"""Seconds for the first call of the head."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""The start of each connection of HTTP/2, which Ray speaks, and an empty SETTINGS frame; see RFC 9113, section 3.4."""
_FRAME_HEAD, _FRAME_KIND, _SETTINGS = 9, 3, 4
"""The bytes of the head of a frame, the place of its kind, and the kind of the first one."""
_PORTS = 65_535


def probe(address: str) -> None:
    """Raise `ClusterUnavailable` if nothing that may be Ray listens at an address."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) <= _PORTS:
        raise ClusterUnavailable(address, "it is no address; write a host and a port, such as 10.0.0.1:6379")
    countdown = Countdown(_PROBE)
    context = _tls(address) if uses_tls() else None
    try:
        places = look_up(host, int(port), _PROBE)
        with connect_to_any(places, countdown) as plain, _encrypted(plain, context, host, countdown) as connection:
            connection.sendall(_GREETING)
            answer = _read(connection, _FRAME_HEAD, countdown)
    except ssl.SSLCertVerificationError as error:
        problem = (
            f"its certificate is not accepted: {error.verify_message}; RAY_TLS_CA_CERT must name the authority of the cluster, and each "
            "machine's certificate must have its address"
        )
        raise ClusterUnavailable(address, problem) from error
    except ssl.SSLError as error:
        problem = (
            f"no connection with TLS can be made, which RAY_USE_TLS asks for: {error.reason or error}; set up RAY_USE_TLS and "
            "RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT alike on all machines"
        )
        raise ClusterUnavailable(address, problem) from error
    except OSError as error:
        problem = f"cannot be reached: {error}; start it by `coterie cluster start --head`, or mend the address"
        raise ClusterUnavailable(address, problem) from error
    if len(answer) >= _FRAME_HEAD and answer[_FRAME_KIND] == _SETTINGS:
        return
    problem = f"a process listens there, but it is not Ray; {_PORT}"
    if context is not None and not answer:
        problem = (
            "it takes connections with TLS, but closes this one: either it does not accept the certificate in RAY_TLS_SERVER_CERT of this "
            f"machine, which the authority of the cluster must have signed, or it is not Ray; then {_PORT}"
        )
    elif context is None and _takes_tls(places, countdown):
        problem = (
            "it uses TLS, and this process does not: set RAY_USE_TLS=1 and the files of the cluster, as on its other machines"
        )
    raise ClusterUnavailable(address, problem)


def _takes_tls(places: Places, countdown: Countdown) -> bool:
    """Return whether a server that has answered otherwise takes connections with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with connect_to_any(places, countdown) as plain, _encrypted(plain, context, "", countdown):
            return True
    except OSError:
        return False


def check_admission(address: str) -> None:
    """Raise `ClusterUnavailable` if not the head of a cluster listens at an address, or if it refuses the token of this process."""
    try:
        from ray._raylet import GcsClient  # type: ignore[attr-defined] # noqa: PLC0415 - not public: it may go
        from ray.exceptions import AuthenticationError, RpcError  # noqa: PLC0415 - older versions have none
    except ImportError:
        return
    try:
        within(_CHECK, lambda: GcsClient(address=address), "asks-head")
    except AuthenticationError as error:
        raise ClusterUnavailable(address, f"{REFUSED}; {ADMISSION}") from error
    except TimeoutError as error:
        problem = f"a process listens there, but has not answered as the head of Ray within {_CHECK:g} s; {_PORT}, or start the cluster again"
        raise ClusterUnavailable(address, problem) from error
    except RpcError as error:
        problem = f"a process listens there, but it is not the head of Ray: {describe(error).splitlines()[0]}; {_PORT}"
        raise ClusterUnavailable(address, problem) from error
    except Exception:  # noqa: BLE001 - `ray.init` finds it as well, and its error says more
        return


def uses_tls() -> bool:
    """Return whether Ray encrypts its calls."""
    return os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true")


def _tls(address: str) -> ssl.SSLContext:
    """Return the settings of TLS by the variables of Ray. Raises `ClusterUnavailable` if they name no files that will do."""
    # As Ray's: the certificate is checked by its authority and for the address, and this side has one as well.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    files = {name: os.environ.get(name, "") for name in ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")}
    for name, file in files.items():
        if not file or not os.access(file, os.R_OK):
            problem = f"RAY_USE_TLS is set, but {name} names no file that can be read: {file or 'it is empty'}; name that of the cluster"
            raise ClusterUnavailable(address, problem)
    try:
        context.load_verify_locations(files["RAY_TLS_CA_CERT"])
        context.load_cert_chain(files["RAY_TLS_SERVER_CERT"], files["RAY_TLS_SERVER_KEY"], password="")
    except (OSError, ValueError) as error:
        shown = ", ".join(files.values())
        problem = (
            f"the files of RAY_TLS_CA_CERT, RAY_TLS_SERVER_CERT and RAY_TLS_SERVER_KEY cannot be used: {error}; look at {shown}"
        )
        raise ClusterUnavailable(address, problem) from error
    return context


def _encrypted(connection: socket.socket, context: ssl.SSLContext | None, host: str, countdown: Countdown) -> socket.socket:
    if context is None:
        return connection
    connection.settimeout(max(0.001, countdown.left() or 0.0))
    return context.wrap_socket(connection, server_hostname=host or None)


def _read(connection: socket.socket, count: int, countdown: Countdown) -> bytes:
    """Return the first bytes that come in time, or fewer."""
    found = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while len(found) < count and not countdown.over:
            connection.settimeout(max(0.001, countdown.left() or 0.0))
            piece = connection.recv(count - len(found))
            if not piece:
                break
            found += piece
    return found
