"""Why an agent takes no message right now."""

from __future__ import annotations

import enum


class Hold(enum.IntEnum):
    """The reasons, as bits, for several may hold at once. An agent takes messages while there is none."""

    LIFE = 1
    """It is being built, rebuilt, or taken down."""
    EXCLUSIVE = 2
    """An ``async`` handler, or a hook, has not ended."""
    PAUSED = 4
    """Somebody has paused it."""
