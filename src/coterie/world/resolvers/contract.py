"""The contract of resolvers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Protocol

from coterie.world.intent import Intent
from coterie.world.resolvers.resolution import Resolution


class Resolver(Protocol):
    """Decides intents that were made for the same moment. A plain function is a resolver.

    It must be pure: equal views, intents and random streams give equal resolutions. It receives the intents in their
    canonical order (see `in_order`) and returns one resolution for each, in the order of their application. It runs on
    the committing thread and must not change the world.
    """

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random, /) -> Sequence[Resolution]:
        """Return one resolution for each of `intents`."""
        ...
