"""The names of durable agents: in addresses, and in stored references."""

from __future__ import annotations

from urllib.parse import quote, unquote

from coterie.durable import Identity
from coterie.kernel import Address
from coterie.kernel.address import DURABLE_NODE

_IN_KINDS = "<>. _-"
_IN_KEYS = "/:@ +,=.-_~!$&'()*;"


def name_of(identity: Identity) -> str:
    """Return the name of a durable agent in addresses: its class and its key, quoted as in a URL where that is needed."""
    return f"{quote(identity.kind, safe=_IN_KINDS)}/{quote(identity.key, safe=_IN_KEYS)}"


def identity_of(address: Address) -> Identity | None:
    """Return the identity that an address may name; None if it names an ordinary agent for certain."""
    kind, slash, key = address.name.partition("/")
    return Identity(unquote(kind), unquote(key)) if slash and key and not address.number else None


def stored_address(identity: Identity) -> Address:
    """Return the address of a durable agent that holds in every process."""
    return Address(DURABLE_NODE, name_of(identity))
