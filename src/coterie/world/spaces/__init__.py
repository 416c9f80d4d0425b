"""Spaces: grids, networks and planes, on which agents have positions.

Positions are keys of the world, moves are intents that a resolver decides together, and neighbours are found in time in
proportion to their number.
"""

from coterie.world.spaces.grid import Grid, Neighbourhood
from coterie.world.spaces.movement import Movement
from coterie.world.spaces.network import Network
from coterie.world.spaces.plane import Plane
from coterie.world.spaces.space import IntentSender, Position, Space

__all__ = ["Grid", "IntentSender", "Movement", "Neighbourhood", "Network", "Plane", "Position", "Space"]
