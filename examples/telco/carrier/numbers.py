"""Telephone numbers in all notations, and money."""

from __future__ import annotations

import re

from .refusal import Refusal

HOME = "+44"
_CALLED = re.compile(r"\+\d{8,15}")
_WRITTEN = re.compile(r"(?<![\w#])(?:\+|00)?\(?\d[\d ().-]{7,22}\d(?!\w)")


def normal(number: str) -> str:
    """Return a number in one form, ``+447700900101``. Raises `Refusal` for a text that is not a number."""
    digits = re.sub(r"[\s().-]", "", number)
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    elif digits.startswith("0"):
        digits = HOME + digits[1:]
    elif digits.startswith(HOME[1:]) and len(digits) > 11:
        digits = "+" + digits
    if not _CALLED.fullmatch(digits):
        raise Refusal(f"{number!r} is no telephone number; give it with all its digits, as in +44 7700 900101")
    return digits


def same(number: str) -> str:
    """Return a number in one form, or the text unchanged if it is not a number, for comparisons."""
    try:
        return normal(number)
    except Refusal:
        return number.strip()


def find(text: str) -> str | None:
    """Return the first telephone number in a text, in one form, or None."""
    for found in _WRITTEN.finditer(text):
        try:
            return normal(found[0])
        except Refusal:
            continue
    return None


def ending(number: str) -> str:
    """Return the public part of a number: its last digits."""
    return f"the number that ends in {number[-2:]}"


def money(pence: int) -> str:
    """Return an amount in pounds, as text."""
    return f"{'-' if pence < 0 else ''}£{abs(pence) // 100}.{abs(pence) % 100:02d}"
