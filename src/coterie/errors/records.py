"""Records of errors that are kept for long: without frames, and bounded in size."""

from __future__ import annotations

import traceback

from coterie.errors.general import RemoteError, describe

_TEXT = 4_000
"""Characters of a text that are kept."""
_CAUSES = 4
"""Errors of a chain of causes that are kept."""
_PLACES = 5
"""Innermost frames whose place is kept, as text."""
_PLAIN = (str, bytes, int, float, bool, type(None))


def without_frames(error: BaseException, depth: int = _CAUSES) -> BaseException:
    """Return an error of the same type, text and causes that keeps no frame, and so no local variable, alive.

    The innermost places of its traceback are in its notes. Attributes and arguments are kept where they are plain and
    small; an error that has others, or cannot be made anew, is replaced by a `RemoteError` with its text.
    """
    copy = _copied(error)
    if copy is None:
        copy = RemoteError(describe(error))
    for place in traceback.format_tb(error.__traceback__)[-_PLACES:] if error.__traceback__ is not None else ():
        copy.add_note(_short(place.rstrip()))
    if error.__cause__ is not None and depth > 1:
        copy.__cause__ = without_frames(error.__cause__, depth - 1)
    copy.__suppress_context__ = True
    return copy


def _copied(error: BaseException) -> BaseException | None:
    kind = type(error)
    attributes = {name: value for name, value in vars(error).items() if name != "__notes__"}
    if not _is_small([*error.args, *attributes.values()]) or isinstance(error, BaseExceptionGroup):
        return None
    try:
        copy = kind.__new__(kind, *error.args)
        copy.args = error.args
        vars(copy).update(attributes)
        if str(copy) != str(error):
            return None
    except Exception:  # noqa: BLE001 - an error whose class has a constructor of its own is kept as text
        return None
    return copy


def _is_small(values: list[object]) -> bool:
    plain = all(type(value) in _PLAIN for value in values)
    return plain and sum(len(value) for value in values if isinstance(value, str | bytes)) <= _TEXT


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}... and {len(text) - _TEXT} characters more"
