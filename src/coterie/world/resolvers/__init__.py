"""Resolvers: pure, seeded functions from a view and intents to one resolution for each intent.

A custom resolver is a function of a view, a sequence of intents and a random stream; `granted`, `cut` and `refused` make
its resolutions. Included are: first come by priority, a seeded lottery, rationing, merging, and refusing all conflicts.
"""

from coterie.world.resolvers.actions import Action
from coterie.world.resolvers.all_at_once import Merge, RefuseOnConflict
from coterie.world.resolvers.rationing import Rationing, Sharing
from coterie.world.resolvers.resolution import Effects, IntentOutcome, Resolution, Resolver, cut, granted, refused
from coterie.world.resolvers.taking_turns import FirstCome, Lottery

__all__ = [
    "Action",
    "Effects",
    "FirstCome",
    "IntentOutcome",
    "Lottery",
    "Merge",
    "Rationing",
    "RefuseOnConflict",
    "Resolution",
    "Resolver",
    "Sharing",
    "cut",
    "granted",
    "refused",
]
