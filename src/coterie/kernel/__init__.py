"""Plain values that all other rooms use: addresses, clocks, the codec, random streams, checkpoints.

This room starts no thread and no event loop and does no input or output, so it can be used and tested anywhere.
"""

from coterie.kernel.address import Address
from coterie.kernel.checkpoint import Checkpointable, detach
from coterie.kernel.clock import Clock, Countdown, DrivenClock, SystemClock, TimerSource
from coterie.kernel.codec import Codec, Extension, Packed
from coterie.kernel.randomness import stream
from coterie.kernel.settings import check_instance, check_number, choice, clock_or_system

__all__ = [
    "Address",
    "Checkpointable",
    "Clock",
    "Codec",
    "Countdown",
    "DrivenClock",
    "Extension",
    "Packed",
    "SystemClock",
    "TimerSource",
    "check_instance",
    "check_number",
    "choice",
    "clock_or_system",
    "detach",
    "stream",
]
