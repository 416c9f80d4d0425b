"""How long tests look for races: a little by default, much longer under `make stress`."""

import os

LONG = bool(os.environ.get("COTERIE_STRESS"))
SOAK = float(os.environ.get("COTERIE_SOAK") or 600)
"""Seconds of the soak, which only runs under `make stress`."""


def runs(short: int) -> range:
    """Return the seeds of so many runs, or of twenty times as many."""
    return range(short * 20 if LONG else short)
