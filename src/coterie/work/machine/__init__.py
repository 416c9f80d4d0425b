"""The machine, and how much work it can do at once."""

from coterie.work.machine.machine import Machine
from coterie.work.machine.measuring import Ratio
from coterie.work.machine.sizing import Limits, Sizing, Workers

__all__ = ["Limits", "Machine", "Ratio", "Sizing", "Workers"]
