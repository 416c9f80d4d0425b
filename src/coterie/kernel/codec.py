"""The codec: typed values to bytes and back, without running code that the bytes name.

On the wire, a class is its module and its name, or a name under which it was registered. A codec finds it among the
registered classes and the modules that are already loaded; it imports nothing. The format is MessagePack, by msgspec.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec

from coterie.errors import EncodeFailed
from coterie.errors.definition import DecodeFailed
from coterie.kernel.conversion import Conversion, ambiguity
from coterie.kernel.losses import is_loose, lost_in

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
    open: bool = False
    """Whether it is generic, and a part of it is an object whose class only the type arguments tell."""


class Codec:
    """Encodes and decodes values.

    Safe from any thread: its tables only grow, by single assignments, and two threads store equal entries.
    """

    def __init__(self, extensions: Iterable[Extension[Any]] = ()) -> None:
        self._by_kind = {each.kind: each for each in extensions}
        self._by_code = {each.code: each for each in self._by_kind.values()}
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._write_foreign)
        self._conversion = Conversion(self._check_foreign, self._supported, lambda: list(self._kinds.values()))
        self._loose: weakref.WeakKeyDictionary[type, tuple[tuple[str, Any], ...]] = weakref.WeakKeyDictionary()
        """The fields that leave the class of a value open, by class."""
        self._packing: weakref.WeakKeyDictionary[type, tuple[str, tuple[tuple[str, Any], ...], bool]] = (
            weakref.WeakKeyDictionary()
        )
        """What `pack` needs of a class, while its name leads to it: the name, those fields, and whether it is generic."""
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
        self._unpacking: dict[str, tuple[type, type, Callable[[bytes], Any]]] = {}
        """What `unpack` needs of a name, while it leads to its class: that class, the base it was found for, and the decoder."""
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
        except Exception as error:  # noqa: BLE001 - whatever a hook raises says that the data are wrong
            # Only some types that msgspec does not decode come here, and data that are wrong.
            try:
                return self._conversion.convert(self._decoder(Any).decode(data), kind)
            except Exception as second:  # noqa: BLE001 - as above
                problem = second if isinstance(second, msgspec.ValidationError) and "here" in str(second) else error
                raise DecodeFailed(f"a {getattr(kind, '__qualname__', kind)}", problem) from problem

    def pack(self, value: Any) -> Packed:
        """Return `value` encoded with the name of its class, for a reader that does not know the class in advance.

        Raises `EncodeFailed`, also for a value that would arrive with another type: it has an object in a field of type `Any`
        that would arrive as plain data, or a union of types that the reader could not distinguish.
        """
        kind = type(value)
        name, loose, generic = self._packing.get(kind) or self._prepare(kind)
        for field, hint in loose:
            lost = lost_in(getattr(value, field), hint)
            if lost is not None:
                raise _plain_data(lost, f"the field {field!r} of a {kind.__qualname__}")
        open_ = generic and any(lost_in(getattr(value, each), Any) is not None for each in kind.__struct_fields__)
        return Packed(name, self.encode(value), open_)

    def encode_as(self, value: Any, kind: Any) -> bytes:
        """Return `value` as bytes, for a reader that decodes it as `kind`. Raises `EncodeFailed` as `pack` does."""
        lost = lost_in(value, kind) if kind is Any else None
        if lost is not None:
            raise _plain_data(lost, "an answer")
        return self.encode(value)

    def unpack(self, packed: Packed, base: type[T], forms: Mapping[type, Any] | None = None) -> T:
        """Return the packed value; raise `DecodeFailed` if it is not an instance of `base`.

        `forms` has the types of generic classes with their arguments, such as `Box[int]` for `Box`: the class of a value
        does not know them. Without them an object in a field of such a type would arrive as plain data, and is refused.
        """
        known = self._unpacking.get(packed.kind)
        if known is not None and known[1] is base and not packed.open and (not forms or known[0] not in forms):
            try:
                found: T = known[2](packed.body)
            except Exception:  # noqa: BLE001 - below it succeeds, or fails with the error for the caller
                found = None  # type: ignore[assignment] # as above
            if found is not None:
                return found
        kind = self.resolve(packed.kind, base)
        form: Any = kind if forms is None else forms.get(kind, kind)
        if packed.open and form is kind:
            problem = f"the types of its parts are not known; annotate its handler with them, such as {kind.__qualname__}[Item]"
            raise DecodeFailed(packed.kind, problem)
        value: T = self.decode(packed.body, form)
        decoder = self._decoders.get(kind) if form is kind else None
        if decoder is not None:
            if len(self._unpacking) >= _DECODERS:
                self._unpacking.clear()
            self._unpacking[packed.kind] = kind, base, decoder.decode
        return value

    def register(self, kind: type, name: str = "") -> str:
        """Register a class, so that `unpack` finds it wherever it is defined, and return its wire name.

        Give a class whose name is stored a `name`, which must not change when the class moves; the default is its module
        and qualified name.
        """
        name = name or self._names.get(kind) or f"{kind.__module__}:{kind.__qualname__}"
        before = self._kinds.get(name)
        if before is not kind:
            if before is not None:
                self._packing.pop(before, None)
            self._unpacking.pop(name, None)
            self._kinds[name] = kind
            self._names[kind] = name
            self._packing.pop(kind, None)
        return name

    def resolve(self, name: str, base: type[T]) -> type[T]:
        """Return the class of that wire name; raise `DecodeFailed` if it is unknown or not a subclass of `base`."""
        kind = self._kinds.get(name)
        known = kind is not None
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
        if not known:
            # Only now, so that names from outside cannot fill the table with unrelated classes.
            self._kinds[name] = kind
        return kind

    def _prepare(self, kind: type) -> tuple[str, tuple[tuple[str, Any], ...], bool]:
        """Return what `pack` needs of a class, and register it."""
        known = self._loose.get(kind)
        loose = self._examine(kind) if known is None else known
        found = self._packing[kind] = self.register(kind), loose, bool(getattr(kind, "__parameters__", ()))
        return found

    def _examine(self, kind: type) -> tuple[tuple[str, Any], ...]:
        """Check the types of a class's fields, once, and return those that leave the class of a value open."""
        try:
            hints = get_type_hints(kind)
            problem = "" if self._supported(kind) else ambiguity(kind)
        except Exception:  # noqa: BLE001 - a type that cannot be resolved here; the reader may be able to
            hints, problem = {}, ""
        if problem:
            raise EncodeFailed(f"a {kind.__qualname__}", problem, "messages in their place")
        fields = getattr(kind, "__struct_fields__", ())
        loose = self._loose[kind] = tuple((name, hint) for name, hint in hints.items() if name in fields and is_loose(hint))
        return loose

    def _supported(self, kind: Any) -> bool:
        """Return whether msgspec decodes a type; the decoder is then ready."""
        try:
            self._decoder(kind)
        except TypeError:
            return False
        return True

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
            # A number or text of a derived class, such as the count that `publish` returns.
            plain = next((each for each in (int, float, str, bytes) if isinstance(value, each)), None)
            if plain is not None:
                return plain(value)
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


def _plain_data(lost: Any, where: str) -> EncodeFailed:
    name = type(lost).__qualname__
    reason = f"its type does not name {name}, so a {name} would arrive as plain data"
    return EncodeFailed(where, reason, "that type in the annotation")
