"""Errors on their way from a worker process to its parent: with their class and attributes wherever these can be sent."""

from __future__ import annotations

import contextlib
import traceback
from typing import Any, NamedTuple, TypeAlias

from coterie.errors import JobRaised, describe
from coterie.errors.general import RemoteError
from coterie.work.jobs.retry import class_name
from coterie.work.processes.sending import decode, encode

PackedArgument: TypeAlias = "bytes | str | tuple[PackedFailure, ...]"
"""An argument of an error; in place of one that cannot be sent, its text; the members of an exception group."""


class PackedFailure(NamedTuple):
    """An error in parts, each pickled alone, so that a part that cannot be read spoils no other."""

    text: str
    trace: str
    kinds: tuple[str, ...]
    """The names of its class and of its bases."""
    whole: bytes | None
    """The error itself, if its copy equals it."""
    classes: tuple[bytes, ...]
    """Its class and its bases, as far as they can be imported by name."""
    own: bool
    """True if its class is the first of these."""
    arguments: tuple[PackedArgument, ...]
    attributes: dict[str, bytes]
    """Its attributes that can be sent."""


def pack_failure(error: BaseException) -> PackedFailure:
    """Return an error in parts. Raises nothing."""
    own = type(error)
    classes = [each for each in own.__mro__ if issubclass(each, BaseException)]
    found = [(each, written) for each in classes if (written := _pack_class(each)) is not None]
    arguments, attributes = _parts(error)
    return PackedFailure(
        describe(error),
        _trace(error),
        tuple(class_name(each) for each in classes),
        _whole(error),
        tuple(written for _, written in found),
        bool(found) and found[0][0] is own,
        arguments,
        attributes,
    )


def unpack_failure(packed: PackedFailure, job: str) -> BaseException:
    """Return the error, with its remote traceback as its cause; or a `JobRaised` that stands in for it."""
    error = _from_whole(packed)
    if error is None:
        classes = [each for written in packed.classes if (each := _unpack(written, None)) is not None]
        if packed.own and classes and class_name(classes[0]) == packed.kinds[0]:
            error = _build(classes[0], packed, job)
        if error is None:
            error = _stand_in(classes, packed, job)
    # A frozen error refuses the usual way.
    object.__setattr__(error, "__cause__", RemoteError(packed.trace))
    return error


def _whole(error: BaseException) -> bytes | None:
    """Return the pickled error, or None if its copy differs, as when its constructor takes other arguments than it keeps."""
    try:
        written = encode(error)
        copy = decode(written)
        same = type(copy) is type(error) and str(copy) == str(error) and vars(copy).keys() == vars(error).keys()
    except BaseException:  # noqa: BLE001 - send its parts instead
        return None
    return written if same else None


def _pack_class(kind: type) -> bytes | None:
    try:
        written = encode(kind)
        found = decode(written)
    except Exception:  # noqa: BLE001 - it cannot be imported by its name
        return None
    return written if found is kind else None


def _parts(error: BaseException) -> tuple[tuple[PackedArgument, ...], dict[str, bytes]]:
    """Return the arguments and attributes of an error, as the built-in base of its class keeps them."""
    reduced: Any = _builtin(type(error)).__reduce__(error)
    arguments = reduced[1]
    attributes = dict(reduced[2]) if len(reduced) > 2 and isinstance(reduced[2], dict) else {}  # noqa: PLR2004 - as pickle has it
    for kind in type(error).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(error, name):
                attributes[name] = getattr(error, name)
    if isinstance(error, BaseExceptionGroup):
        return (error.message, tuple(pack_failure(each) for each in error.exceptions)), _pack_all(attributes)
    return tuple(_pack_argument(each) for each in arguments), _pack_all(attributes)


def _pack_argument(value: Any) -> bytes | str:
    written = _pack(value)
    if written is not None:
        return written
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__ raised
        return f"<{type(value).__qualname__}>"


def _pack_all(attributes: dict[str, Any]) -> dict[str, bytes]:
    return {name: written for name, value in attributes.items() if (written := _pack(value)) is not None}


def _pack(value: Any) -> bytes | None:
    try:
        written = encode(value)
        decode(written)
    except Exception:  # noqa: BLE001 - any error means that it cannot be sent
        return None
    return written


def _unpack(written: bytes, default: Any) -> Any:
    try:
        return decode(written)
    except Exception:  # noqa: BLE001 - this process cannot import what that one could
        return default


def _from_whole(packed: PackedFailure) -> BaseException | None:
    error = None if packed.whole is None else _unpack(packed.whole, None)
    return error if isinstance(error, BaseException) else None


def _argument(packed: PackedArgument, job: str) -> Any:
    if isinstance(packed, tuple):
        return tuple(unpack_failure(each, job) for each in packed)
    return packed if isinstance(packed, str) else _unpack(packed, "<cannot be read>")


def _build(kind: type[BaseException], packed: PackedFailure, job: str) -> BaseException | None:
    """Return an error of its own class, without a call of its constructor; None if that fails."""
    base: Any = _builtin(kind)
    try:
        arguments = tuple(_argument(each, job) for each in packed.arguments)
        error: BaseException = base.__new__(kind, *arguments)
        object.__setattr__(error, "args", arguments)
        with contextlib.suppress(Exception):
            # It sets what built-in errors keep beside their arguments, such as `errno`.
            base.__init__(error, *arguments)
        for name, value in _attributes(packed).items():
            with contextlib.suppress(Exception):
                object.__setattr__(error, name, value)
    except Exception:  # noqa: BLE001 - a stand-in tells as much
        return None
    return error


def _attributes(packed: PackedFailure) -> dict[str, Any]:
    missing = object()
    found = {name: _unpack(written, missing) for name, written in packed.attributes.items()}
    return {name: value for name, value in found.items() if value is not missing}


def _stand_in(classes: list[type[BaseException]], packed: PackedFailure, job: str) -> JobRaised:
    # A class that has no room for the attributes of `JobRaised` cannot be a base beside it.
    text = str(JobRaised(job, packed.text))
    attributes = _attributes(packed) | {"kinds": packed.kinds}
    name = packed.kinds[0].rpartition(".")[2]
    for base in classes:
        if base is Exception or base is BaseException:
            break
        with contextlib.suppress(Exception):
            return JobRaised.stand_in(name, (base,), attributes, text)
    return JobRaised.stand_in(name, (), attributes, text)


def _builtin(kind: type[BaseException]) -> type[BaseException]:
    """Return the first base of a class that is built in: it knows the state that is not in the attributes."""
    return next(base for base in kind.__mro__ if base.__module__ == "builtins")


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as worse:  # noqa: BLE001 - the __str__ of the error raised
        return f"no traceback: formatting it raised {type(worse).__name__}"
