"""The states of an agent: its phase, and the reasons why it takes no messages."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """The phase of an agent's life."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Suspension(enum.IntEnum):
    """Reasons why an agent takes no messages, as bits: several may hold at once."""

    LIFE = 1
    """It is being built, rebuilt, or taken down."""
    EXCLUSIVE = 2
    """An ``async`` handler, or a hook, has not ended."""
    PAUSED = 4
    """It was paused from outside."""
    BUSY = 8
    """An interleaving handler handles its maximum number of messages."""
    COMMIT = 16
    """The change of a durable agent's last message is being stored."""
