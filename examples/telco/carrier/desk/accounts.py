"""Reads of a customer's package, data, add-ons and bills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coterie.storage import Database, ReadTransaction, Row

from ..numbers import money
from ..refusal import Refusal
from .identity import Identity


@dataclass(frozen=True)
class Accounts:
    """Reads of one moment each, permission included. Safe from any thread."""

    database: Database
    identity: Identity

    def package(self, namespace: str, number: str) -> dict[str, Any]:
        """Return the package and the contract of a number."""

        def look(view: ReadTransaction) -> dict[str, Any]:
            called = self.identity.require(view, namespace, number)
            row = customer(view, called)
            return {
                "name": row[1],
                "package": described(package(view, row[2])),
                "contract": row[3],
                "status": row[5],
                "contract ends": row[4],
                "credit": money(row[6]),
            }

        return self.database.read(look)

    def balance(self, namespace: str, number: str) -> dict[str, Any]:
        """Return the used and the remaining data of this month, in GB."""

        def look(view: ReadTransaction) -> dict[str, Any]:
            called = self.identity.require(view, namespace, number)
            row = customer(view, called)
            data = package(view, row[2])[2]
            used = row[7] / 1000
            passes = view.rows(
                "SELECT p.name, p.data_gb, c.until FROM telco_customer_passes c JOIN telco_passes p ON p.id = c.pass"
                " WHERE c.number = ? ORDER BY c.until",
                (called,),
            )
            return {
                "used GB": round(used, 1),
                "left GB": "unlimited" if data is None else round(max(0.0, data - used), 1),
                "of GB": "unlimited" if data is None else data,
                "alert": _alert(row[8], row[9]),
                "passes": [f"{name}: {data_gb} GB until {until}" for name, data_gb, until in passes],
            }

        return self.database.read(look)

    def addons(self, namespace: str, number: str) -> dict[str, Any]:
        """Return the add-ons of a customer, and the available ones."""

        def look(view: ReadTransaction) -> dict[str, Any]:
            called = self.identity.require(view, namespace, number)
            mine = {row[0] for row in view.rows("SELECT addon FROM telco_customer_addons WHERE number = ?", (called,))}
            rows = view.rows("SELECT id, name, price FROM telco_addons ORDER BY price")
            lines = {each: f"{name}, {money(price)} a month" for each, name, price in rows}
            return {
                "active": [line for each, line in lines.items() if each in mine],
                "available": [line for each, line in lines.items() if each not in mine],
            }

        return self.database.read(look)

    def bills(self, namespace: str, number: str) -> dict[str, Any]:
        """Return the latest bills, newest first, and their unusual items."""

        def look(view: ReadTransaction) -> dict[str, Any]:
            called = self.identity.require(view, namespace, number)
            rows = view.rows(
                "SELECT month, item, amount FROM telco_bills WHERE number = ? ORDER BY month DESC, place", (called,)
            )
            months: dict[str, list[Row]] = {}
            for row in rows:
                months.setdefault(row[0], []).append(row)
            totals = {month: sum(row[2] for row in lines) for month, lines in months.items()}
            newest = next(iter(months), None)
            return {
                "bills": {month: money(total) for month, total in totals.items()},
                "latest": [f"{item}: {money(amount)}" for _, item, amount in months.get(newest or "", [])],
                "highest": "" if not totals else max(totals, key=lambda month: totals[month]),
                "credit": money(customer(view, called)[6]),
            }

        return self.database.read(look)


def customer(view: ReadTransaction, number: str) -> Row:
    """Return the row of a customer. Raises `Refusal`."""
    row = view.row(
        "SELECT number, name, package, contract, contract_ends, status, credit, used_mb, alert_percent, alert_mb"
        " FROM telco_customers WHERE number = ?",
        (number,),
    )
    if row is None:
        raise Refusal("there is no customer of that number any more")
    return row


def package(view: ReadTransaction, wanted: str) -> Row:
    """Return the row of a package, by its id or its name, in any case. Raises `Refusal`, which lists the packages."""
    rows = view.rows("SELECT id, name, data_gb, minutes, price, months, roaming FROM telco_packages ORDER BY price")
    word = wanted.strip().lower()
    for row in rows:
        if word in (row[0], row[1].lower()):
            return row
    raise Refusal(f"there is no package {wanted!r}; there are {', '.join(row[1] for row in rows)}")


def described(row: Row) -> str:
    """Return a package in words."""
    data = "unlimited data" if row[2] is None else f"{row[2]} GB"
    minutes = "unlimited minutes" if row[3] is None else f"{row[3]} minutes"
    return f"{row[1]}: {data}, {minutes}, roaming: {row[6]}, {money(row[4])} a month, contract of {row[5]} {'month' if row[5] == 1 else 'months'}"


def _alert(percent: int | None, megabytes: int | None) -> str:
    parts = [f"at {percent} %"] if percent is not None else []
    parts += [f"at {megabytes / 1000:g} GB left"] if megabytes is not None else []
    return " and ".join(parts) or "none"
