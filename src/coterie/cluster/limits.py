"""The limits of the frames between two nodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """The limits of the frames between two nodes. Sizes are in bytes, times in seconds."""

    max_message: int = 16_000_000
    queue_messages: int = 10_000
    """The number of frames that wait for one peer before senders are held back; at twice as many they are refused."""
    queue_bytes: int = 64_000_000
    send_timeout: float = 10.0
    """The time for which a sender is held back at most."""
