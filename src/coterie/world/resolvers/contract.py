"""What a resolver is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Protocol

from coterie.world.intent import Intent
from coterie.world.resolvers.resolution import Resolution


class Resolver(Protocol):
    """Decides what becomes of intents that were made for the same moment. A plain function will do.

    It must be pure: the same view, intents and random stream give the same decisions, always. It gets the intents in
    their one order (see `Intent`), and returns one decision for each, in the order in which they are carried out. It
    runs on the thread that commits, and must not change the world.
    """

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random, /) -> Sequence[Resolution]:
        """Return one decision for each of `intents`."""
        ...
