"""External events: changes of a world without an intent."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from coterie.errors import InvalidValue
from coterie.world.state.values import FrozenMapping, as_key, bare, freeze


class ExternalEvent(msgspec.Struct, frozen=True):
    """A change without an intent: its kind, agent, changes and details."""

    kind: str
    agent: str = ""
    reason: str = ""
    changes: Mapping[str, Any] = {}
    remove: Collection[str] = ()
    details: Mapping[str, Any] = {}
    round: int = 0
    stage: int = 0
    expires: Mapping[str, float] = {}
    """Times at which changed keys expire, in seconds of the world's time."""

    def frozen(self) -> ExternalEvent:
        """Return a copy with frozen values, as it is recorded. Raises `InvalidValue` if a value cannot be recorded."""
        if not isinstance(self.changes, Mapping):
            raise InvalidValue("changes", f"{self.changes!r} is not a mapping of keys to values")
        if isinstance(self.remove, str | bytes) or not isinstance(self.remove, Collection):
            raise InvalidValue("remove", f"{self.remove!r} is not a collection of keys")
        if not isinstance(self.details, Mapping):
            raise InvalidValue("details", f"{self.details!r} is not a mapping of names to plain data")
        changes = FrozenMapping({as_key(key): freeze(value, key) for key, value in self.changes.items()})
        return ExternalEvent(
            _text("kind", self.kind),
            _text("agent", self.agent),
            _text("reason", self.reason),
            changes,
            tuple(key for key in map(as_key, self.remove) if key not in changes),
            freeze(self.details, "details"),
            _whole("round", self.round),
            _whole("stage", self.stage),
            self._moments(changes),
        )

    def _moments(self, changes: Mapping[str, Any]) -> dict[str, float]:
        if not isinstance(self.expires, Mapping):
            raise InvalidValue("expires", f"{self.expires!r} is not a mapping of keys to seconds")
        when: Any
        for key, when in self.expires.items():
            if key not in changes:
                raise InvalidValue(key, "it has an expiry and is not set by the event")
            if isinstance(when, bool) or not isinstance(when, int | float) or not math.isfinite(when):
                raise InvalidValue(key, f"{when!r} is not a time of expiry in seconds")
        return dict(sorted(self.expires.items()))


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue(field, f"{value!r} is not text")
    return str(freeze(value, field))


def _whole(field: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValue(field, f"{value!r} is not a whole number")
    return int(freeze(bare(value), field))
