"""What two nodes tell each other at the beginning of a connection, and the signals beside the frames.

A ZeroMQ message has two parts. The first is one of the kinds below, followed for `BATCH` by the node that it is for. The
second is MessagePack: a list of frames for `BATCH`, else one of the structures below.
"""

from __future__ import annotations

from importlib.metadata import version

import msgspec

from coterie.network.peer import PeerStatus

PROTOCOL = 1
"""The version of all that crosses the wire, frames of the runtime included. Nodes of different versions refuse each other."""
VERSION = version("coterie")

BATCH, TALK = b"B", b"T"


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A node introduces itself to the node that it has connected to."""

    protocol: int
    version: str
    name: str
    """Its name in the topology."""
    node: str
    """The name of its runtime, which is new with every start; empty for a diagnosis, which sends no frames."""
    target: str
    """The name of the node to which it meant to connect."""
    max_message: int


class WelcomeReply(msgspec.Struct, frozen=True, tag="welcome"):
    """The answer to a hello: frames may follow."""

    protocol: int
    version: str
    name: str
    node: str
    time: float
    """The wall time there."""
    max_message: int


class RefusalReply(msgspec.Struct, frozen=True, tag="refusal"):
    """The answer to a hello that does not fit."""

    reason: str


class StatusQuestion(msgspec.Struct, frozen=True, tag="status"):
    """Asks for the state of the connections of a node."""


class StatusReply(msgspec.Struct, frozen=True, tag="report"):
    """The state of the connections of a node."""

    peers: list[PeerStatus]


class Goodbye(msgspec.Struct, frozen=True, tag="goodbye"):
    """A node has stopped."""

    node: str


Talk = Hello | WelcomeReply | RefusalReply | StatusQuestion | StatusReply | Goodbye

encode = msgspec.msgpack.Encoder().encode
_TALK_DECODER: msgspec.msgpack.Decoder[Talk] = msgspec.msgpack.Decoder(Talk)
_BATCH_DECODER = msgspec.msgpack.Decoder(list[bytes])


def decode_talk(data: bytes | memoryview) -> Talk:
    """Return the signal in the second part of a message. Raises `msgspec.DecodeError`."""
    return _TALK_DECODER.decode(data)


def decode_batch(data: bytes | memoryview) -> list[bytes]:
    """Return the frames in the second part of a message. Raises `msgspec.DecodeError`."""
    return _BATCH_DECODER.decode(data)


def objection(hello: Hello, own: str, known: frozenset[str], user: str | None) -> str | None:
    """Return the reason why a hello is refused, or None. `user` is the node whose key it came with; None without keys."""
    if hello.protocol != PROTOCOL:
        return version_mismatch(hello.name, hello.protocol, hello.version, own)
    if hello.name not in known:
        return f"{own} knows no node {hello.name!r}; add it to the topology of {own}"
    if user is not None and user != hello.name:
        return f"the node that calls itself {hello.name} has the key of {user}; give each node its own file of keys"
    if hello.target != own:
        return f"this is {own}, not {hello.target}; mend the address of {hello.target} in the topology of {hello.name}"
    return None


def version_mismatch(name: str, protocol: int, release: str, own: str) -> str:
    """Return the text for two nodes with different versions of the wire."""
    return (
        f"{name} speaks version {protocol} of the wire (coterie {release}), {own} speaks version {PROTOCOL} (coterie "
        f"{VERSION}); install the same version of coterie on both"
    )
