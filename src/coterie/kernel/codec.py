"""The codec: typed values to bytes and back, without running code that the bytes name.

On the wire, a class is its module and its name, or a name under which it was registered. A codec finds it among the
registered classes and the modules that are already loaded; it imports nothing. The format is MessagePack, by msgspec.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

from coterie.errors import EncodeFailed
from coterie.errors.definition import DecodeFailed

T = TypeVar("T")

_BUILDING = threading.Lock()
"""Guards the construction of decoders in the whole process. msgspec stores its type information on the class; a second
thread that builds a decoder of the same class at the same time finds it incomplete and crashes the interpreter (msgspec 0.20)."""


_DECODERS = 4_096
"""Decoders that are kept at most."""


class Extension(msgspec.Struct, Generic[T], frozen=True):
    """The wire form of a class that msgspec does not know: text, under a code from 0 to 127."""

    kind: type[T]
    code: int
    to_text: Callable[[T], str]
    from_text: Callable[[str], T]


class Packed(msgspec.Struct, frozen=True):
    """A value together with the name of its class."""

    kind: str
    body: bytes


class Codec:
    """Encodes and decodes values.

    Safe from any thread: its tables only grow, by single assignments, and two threads store equal entries.
    """

    def __init__(self, extensions: Iterable[Extension[Any]] = ()) -> None:
        self._by_kind = {each.kind: each for each in extensions}
        self._by_code = {each.code: each for each in self._by_kind.values()}
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._write_foreign)
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
        # Classes that are made by functions are not kept alive.
        self._kinds: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
        self._names: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()

    def encode(self, value: Any) -> bytes:
        """Return `value` as bytes; raise `EncodeFailed` if a part of it has no wire form."""
        try:
            return self._encoder.encode(value)
        except Exception as error:
            raise EncodeFailed(f"a {type(value).__qualname__}", error) from error

    def decode(self, data: bytes | memoryview, kind: Any) -> Any:
        """Return the value of type `kind` that `data` encodes; raise `DecodeFailed` if it does not encode one."""
        try:
            return self._decoder(kind).decode(data)
        except Exception as error:
            name = getattr(kind, "__qualname__", kind)
            raise DecodeFailed(f"a {name}", error) from error

    def pack(self, value: Any) -> Packed:
        """Return `value` encoded with the name of its class, for a reader that does not know the class in advance."""
        return Packed(self.register(type(value)), self.encode(value))

    def unpack(self, packed: Packed, base: type[T]) -> T:
        """Return the packed value; raise `DecodeFailed` if it is not an instance of `base`."""
        value: T = self.decode(packed.body, self.resolve(packed.kind, base))
        return value

    def register(self, kind: type, name: str = "") -> str:
        """Register a class, so that `unpack` finds it wherever it is defined, and return its wire name.

        Give a class whose name is stored a `name`, which must not change when the class moves; the default is its module
        and qualified name.
        """
        name = name or self._names.get(kind) or f"{kind.__module__}:{kind.__qualname__}"
        if self._kinds.get(name) is not kind:
            self._kinds[name] = kind
            self._names[kind] = name
        return name

    def resolve(self, name: str, base: type[T]) -> type[T]:
        """Return the class of that wire name; raise `DecodeFailed` if it is unknown or not a subclass of `base`."""
        kind = self._kinds.get(name)
        if kind is None:
            module, _, path = name.partition(":")
            found: Any = sys.modules.get(module)
            for part in path.split("."):
                found = getattr(found, part, None)
            if not isinstance(found, type):
                raise DecodeFailed(name, "no such class is known here; import its module, or spawn an agent that handles it")
            kind = found
        if not issubclass(kind, base):
            raise DecodeFailed(name, f"it is not a subclass of {base.__qualname__}")
        # Only now, so that names from outside cannot fill the table with unrelated classes.
        self._kinds[name] = kind
        return kind

    def _decoder(self, kind: Any) -> msgspec.msgpack.Decoder[Any]:
        decoder = self._decoders.get(kind)
        if decoder is None:
            with _BUILDING:
                decoder = msgspec.msgpack.Decoder(kind, dec_hook=self._check_foreign, ext_hook=self._read_foreign)
            if len(self._decoders) >= _DECODERS:
                self._decoders.clear()
            self._decoders[kind] = decoder
        return decoder

    def _write_foreign(self, value: Any) -> Any:
        extension = self._by_kind.get(type(value))
        if extension is None:
            raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no form on the wire")
        return msgspec.msgpack.Ext(extension.code, extension.to_text(value).encode())

    def _read_foreign(self, code: int, data: memoryview) -> Any:
        extension = self._by_code.get(code)
        if extension is None:
            raise ValueError(f"unknown extension {code}")
        return extension.from_text(bytes(data).decode())

    def _check_foreign(self, kind: type, value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"expected {kind.__qualname__}, got {type(value).__qualname__}")
        return value
