"""The progress of a job, as its function reports it."""

from __future__ import annotations

import msgspec

from coterie.kernel import check_instance, check_number


class Progress(msgspec.Struct, frozen=True):
    """The last progress of a job."""

    fraction: float
    """From 0 to 1."""
    text: str = ""


def check_progress(fraction: float, text: str) -> Progress:
    """Return a progress. A fraction outside of 0 to 1 is moved to the nearer end. Raises `InvalidSetting`."""
    check_number("report_progress.fraction", fraction, least=float("-inf"))
    check_instance("report_progress.text", text, str, "a text")
    return Progress(min(1.0, max(0.0, float(fraction))), text)
