"""The identity of a customer: the company sends a code to a telephone, and a conversation with the code may use its number."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from coterie.kernel import Clock
from coterie.storage import Database, ReadTransaction, Transaction

from ..numbers import ending, normal
from ..refusal import Refusal

CODE_LASTS = 300.0
"""Seconds."""
SESSION_LASTS = 3600.0
TRIES = 3
CODES_AN_HOUR = 5
_LOG_IN = "log in first: start_login with the telephone number, then verify_login with the code that is sent to it"


@dataclass(frozen=True)
class Identity:
    """Codes and sessions. A session belongs to one namespace, and speaks for one number. Safe from any thread."""

    database: Database
    clock: Clock
    send: Callable[[str, str], None]
    """Sends a text to a telephone."""
    fixed_code: str = ""
    """The code that is always sent, for tests and scripts; empty for a new one each time."""

    async def start(self, namespace: str, number: str) -> str:
        """Send a code. The answer is the same for unknown numbers, so it does not reveal the customers."""
        called = normal(number)
        code = self.fixed_code or f"{secrets.randbelow(1_000_000):06d}"
        if await self.database.write(lambda write: self._issue(write, namespace, called, code)):
            self.send(
                called, f"Your code is {code}. It is good for {CODE_LASTS / 60:g} minutes. We never ask for it by telephone."
            )
        return (
            f"If {ending(called)} is a customer's, a code of 6 digits is on its way there by text message. "
            f"It is good for {CODE_LASTS / 60:g} minutes."
        )

    async def verify(self, namespace: str, number: str, code: str) -> str:
        """Open the session of a namespace for a number, if the code is the one that was sent."""
        called = normal(number)
        given = "".join(each for each in code if each.isdigit())
        name, problem = await self.database.write(lambda write: self._open(write, namespace, called, given))
        if problem:
            raise Refusal(problem)
        return f"Logged in as {name}, {ending(called)}."

    def of(self, namespace: str) -> str | None:
        """Return the number that a namespace speaks for now, or None."""
        return self.database.read(lambda view: self.within(view, namespace))

    def within(self, view: ReadTransaction, namespace: str) -> str | None:
        """Return the number that a namespace speaks for, as of a moment of the database."""
        row = view.row(
            "SELECT number FROM telco_sessions WHERE namespace = ? AND expires_at > ?", (namespace, self.clock.time())
        )
        return None if row is None else str(row[0])

    def require(self, view: ReadTransaction, namespace: str, number: str) -> str:
        """Return the number in one form, if the namespace may speak for it. Raises `Refusal`.

        Called in the read, or the write, that the permission is for.
        """
        called = normal(number)
        mine = self.within(view, namespace)
        if mine is None:
            raise Refusal(f"nobody is logged in here; {_LOG_IN}")
        if mine != called:
            raise Refusal(
                f"this conversation is logged in for {ending(mine)} only, and {ending(called)} is another's; {_LOG_IN}"
            )
        return called

    def _issue(self, write: Transaction, namespace: str, number: str, code: str) -> bool:
        now = self.clock.time()
        write.execute("DELETE FROM telco_code_requests WHERE at < ?", (now - 3600,))
        row = write.row("SELECT count(*) FROM telco_code_requests WHERE number = ?", (number,))
        if row is not None and row[0] >= CODES_AN_HOUR:
            raise Refusal(f"{CODES_AN_HOUR} codes an hour go to one number at most; wait for an hour, or use the last one")
        write.execute("INSERT INTO telco_code_requests VALUES (?, ?)", (number, now))
        write.execute("DELETE FROM telco_codes WHERE namespace = ?", (namespace,))
        if write.row("SELECT 1 FROM telco_customers WHERE number = ?", (number,)) is None:
            return False
        salt = secrets.token_hex(8)
        write.execute(
            "INSERT INTO telco_codes VALUES (?, ?, ?, ?, ?, ?)",
            (namespace, number, salt, _digest(salt, code), now + CODE_LASTS, TRIES),
        )
        return True

    def _open(self, write: Transaction, namespace: str, number: str, code: str) -> tuple[str, str]:
        # What is refused is returned and not raised: the tries that are left must count down.
        now = self.clock.time()
        row = write.row("SELECT number, salt, digest, expires_at, tries FROM telco_codes WHERE namespace = ?", (namespace,))
        if row is None or row[0] != number:
            return "", "no code is waiting for this number here; send one with start_login"
        _, salt, digest, expires_at, tries = row
        if now >= expires_at or tries <= 0:
            return "", "that code is not good any more; send a new one with start_login"
        if not hmac.compare_digest(digest, _digest(salt, code)):
            write.execute("UPDATE telco_codes SET tries = tries - 1 WHERE namespace = ?", (namespace,))
            left = f"{tries - 1} more tries" if tries > 2 else "1 more try" if tries == 2 else "no more tries; send a new code"
            return "", f"that is not the code that was sent; ask for it again ({left})"
        write.execute("DELETE FROM telco_codes WHERE namespace = ?", (namespace,))
        write.execute("DELETE FROM telco_sessions WHERE namespace = ?", (namespace,))
        write.execute("INSERT INTO telco_sessions VALUES (?, ?, ?)", (namespace, number, now + SESSION_LASTS))
        name = write.row("SELECT name FROM telco_customers WHERE number = ?", (number,))
        return (str(name[0]) if name is not None else ""), ""


def _digest(salt: str, code: str) -> str:
    return hashlib.sha256(f"{salt}:{code}".encode()).hexdigest()
