"""Key of a recorded reply: agent, step, prompt digest, occurrence."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.models.values import ModelRequest

_ENCODER = msgspec.json.Encoder(order="deterministic")


class RecordingKey(msgspec.Struct, frozen=True):
    """The key of an entry of a recording."""

    agent: str
    step: str
    digest: str
    """The digest of the prompt."""
    number: int
    """The number of earlier requests with the same agent, step and digest."""


def prompt_of(request: ModelRequest) -> dict[str, Any]:
    """Return the part of a request that the model sees, as a plain value: without agent, step and priority."""
    seen: dict[str, Any] = msgspec.to_builtins(request)
    for name in ("agent", "step", "priority"):
        seen.pop(name)
    return seen


def digest_of(prompt: dict[str, Any]) -> str:
    """Return the digest of a prompt: 128 bits of BLAKE2b over its canonical JSON. The same in every process."""
    return hashlib.blake2b(_ENCODER.encode(prompt), digest_size=16).hexdigest()


class RequestCounter:
    """Numbers identical requests in the order in which they are asked. Safe from any thread; `_lock` guards the counts.

    Only the same agent's own repeats share a count, so that the order of agents and threads does not matter.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._counts: dict[tuple[str, str, str], int] = {}

    def key(self, request: ModelRequest) -> RecordingKey:
        """Count a request, and return its key."""
        place = (request.agent, request.step, digest_of(prompt_of(request)))
        with self._lock:
            number = self._counts.get(place, 0)
            self._counts[place] = number + 1
        return RecordingKey(*place, number)

    def snapshot(self) -> list[tuple[str, str, str, int]]:
        """Return the counts, as a plain value."""
        with self._lock:
            return [(*place, count) for place, count in self._counts.items()]

    def restore(self, state: Any) -> None:
        """Continue from a state of `snapshot`. Raises `ValueError` for any other value."""
        counts = msgspec.convert(state, list[tuple[str, str, str, int]])
        with self._lock:
            self._counts = {(agent, step, digest): count for agent, step, digest, count in counts}
