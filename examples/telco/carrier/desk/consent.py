"""Consent: what cannot be undone is told first, and done only after the customer has spoken again."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from coterie.kernel import Clock
from coterie.storage import Transaction

CONSENT_LASTS = 600.0
"""Seconds."""
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True)
class Consent:
    """Asks and checks, in two steps that no model can take in one.

    The first call gets a code, and nothing is done. The second brings the code, and counts only in a later turn: between
    the two the customer has read what will happen, and said something. A code is for one action on one subject, once.
    """

    clock: Clock

    def ask(self, write: Transaction, namespace: str, action: str, number: str, subject: str, turn: int) -> str:
        """Note what is asked, and return the code that goes with it."""
        code = "".join(secrets.choice(_LETTERS) for _ in range(4))
        write.execute("DELETE FROM telco_consents WHERE namespace = ? AND action = ?", (namespace, action))
        write.execute(
            "INSERT INTO telco_consents VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (namespace, action, number, subject, code, turn, self.clock.time() + CONSENT_LASTS),
        )
        return code

    def problem(
        self, write: Transaction, namespace: str, action: str, number: str, subject: str, turn: int, code: str, key: str
    ) -> str:
        """Return why a code does not count, or an empty text; then it is spent, on the operation with that key."""
        row = write.row(
            "SELECT number, subject, code, turn, expires_at, key FROM telco_consents WHERE namespace = ? AND action = ?",
            (namespace, action),
        )
        if row is None or (row[0], row[1]) != (number, subject) or row[2] != code.strip().upper():
            return "that confirmation is for something else"
        if row[5] == key:
            return ""  # the same operation, tried again
        if row[5] is not None:
            return "that confirmation has been used"
        if self.clock.time() >= row[4]:
            return "that confirmation is too old"
        if turn <= row[3]:
            return "the customer has not answered yet; ask, and wait for the answer"
        write.execute("UPDATE telco_consents SET key = ? WHERE namespace = ? AND action = ?", (key, namespace, action))
        return ""
