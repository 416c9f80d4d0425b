"""Plain values that all other rooms use: addresses, clocks, the codec, random streams, checkpoints.

This room starts no thread and no event loop and does no input or output, so it can be used and tested anywhere.
"""

from coterie.kernel.address import Address
from coterie.kernel.checkpoint import Checkpointable
from coterie.kernel.clock import Clock, Countdown, SystemClock
from coterie.kernel.codec import Codec
from coterie.kernel.randomness import stream
from coterie.kernel.settings import check_instance, check_number, choice, clock_or_system

__all__ = [
    "Address",
    "Checkpointable",
    "Clock",
    "Codec",
    "Countdown",
    "SystemClock",
    "check_instance",
    "check_number",
    "choice",
    "clock_or_system",
    "stream",
]
