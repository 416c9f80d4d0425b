"""Changes. Each is one transaction: permission, conditions, the change, and its line in the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from coterie.kernel import Clock
from coterie.storage import Database, ReadTransaction, Row, Transaction

from ..numbers import ending, money, normal
from ..refusal import Refusal
from .accounts import customer, package
from .catalogue import place, roaming_pass
from .identity import Identity


@dataclass(frozen=True)
class Order:
    """The namespace, number and key of a change. Two orders with the same key are one change."""

    namespace: str
    number: str
    key: str
    permitted: bool = False
    """Whether the customer was logged in with the number when the order was taken. Another login meanwhile does not stop it."""


@dataclass(frozen=True)
class Changes:
    """Writes. Safe from any thread; concurrent changes run one after the other, each with its conditions checked."""

    database: Database
    identity: Identity
    clock: Clock

    def what_closing_means(self, namespace: str, number: str) -> str:
        """Return the consequences of closing the contract. Raises `Refusal`."""

        def look(view: ReadTransaction) -> str:
            called = self.identity.require(view, namespace, number)
            row = _open(customer(view, called))
            fee = self._fee(view, row[2], row[4])
            cost = f"It runs until {row[4]}, so ending it now costs {money(fee)}." if fee else "It can be ended without a fee."
            return f"Contract {row[3]} of {ending(called)} would be closed for good, and the number given up. {cost}"

        return self.database.read(look)

    def what_changing_means(self, namespace: str, number: str, wanted: str) -> str:
        """Return the consequences of another package. Raises `Refusal`."""

        def look(view: ReadTransaction) -> str:
            called = self.identity.require(view, namespace, number)
            held = package(view, _open(customer(view, called))[2])
            new = _other(held, package(view, wanted))
            return (
                f"{held[1]} ({money(held[4])} a month) would become {new[1]} ({money(new[4])} a month), "
                f"with a new contract of {new[5]} {'month' if new[5] == 1 else 'months'}."
            )

        return self.database.read(look)

    def what_buying_means(self, namespace: str, number: str, country: str, wanted: str) -> str:
        """Return the cost of a roaming pass. Raises `Refusal`."""

        def look(view: ReadTransaction) -> str:
            called = self.identity.require(view, namespace, number)
            _open(customer(view, called))
            row = _fitting(view, country, wanted)
            return (
                f"{row[2]}, {row[4]} GB for {row[3]} days in {row[1]}, would cost {money(row[5])}, "
                "from the credit or on the next bill, and is not paid back once it is used."
            )

        return self.database.read(look)

    async def close(self, order: Order) -> str:
        """Close the contract."""
        return await self._once(order, "close_contract", self._close)

    async def change(self, order: Order, wanted: str) -> str:
        """Move to another package."""
        return await self._once(order, "change_package", lambda write, number: self._change(write, number, wanted))

    async def buy(self, order: Order, country: str, wanted: str) -> str:
        """Buy a roaming pass."""

        def work(write: Transaction, number: str) -> tuple[str, str]:
            return self._buy(write, number, country, wanted, order.key)

        return await self._once(order, "purchase_roaming_pass", work)

    async def set_alert(self, order: Order, percent: int | None, gigabytes: float | None) -> str:
        """Set the limit of a data alert; with neither argument, clear it."""
        return await self._once(order, "set_data_alerts", lambda write, number: _set_alert(write, number, percent, gigabytes))

    def done(self, key: str) -> str | None:
        """Return the confirmation of the change with that key, or None if it has not happened."""
        row = self.database.row("SELECT said FROM telco_changes WHERE key = ? AND undone = 0", (key,))
        return None if row is None else str(row[0])

    async def undo(self, key: str) -> bool:
        """Undo a change of package, or a pass, and return whether there was one."""
        return await self.database.write(lambda write: _undo(write, key))

    async def _once(self, order: Order, action: str, work: Callable[[Transaction, str], tuple[str, str]]) -> str:
        def take(write: Transaction) -> str:
            number = normal(order.number) if order.permitted else self.identity.require(write, order.namespace, order.number)
            row = write.row("SELECT said, undone FROM telco_changes WHERE key = ?", (order.key,))
            if row is not None:
                if row[1]:
                    raise Refusal("that has been taken back")
                return str(row[0])
            before, said = work(write, number)
            write.execute(
                "INSERT INTO telco_changes (key, number, action, before, said, at) VALUES (?, ?, ?, ?, ?, ?)",
                (order.key, number, action, before, said, self.clock.time()),
            )
            return said

        return await self.database.write(take)

    def _close(self, write: Transaction, number: str) -> tuple[str, str]:
        row = _open(customer(write, number))
        due = self._fee(write, row[2], row[4]) - row[6]
        write.execute("UPDATE telco_customers SET status = 'closed', credit = 0 WHERE number = ?", (number,))
        write.execute("DELETE FROM telco_customer_addons WHERE number = ?", (number,))
        rest = f"The final bill is {money(due)}" if due > 0 else f"{money(-due)} of credit is paid back"
        return row[2], f"Contract {row[3]} is closed. {rest}."

    def _fee(self, view: ReadTransaction, held: str, ends: str) -> int:
        months = max(0, (date.fromisoformat(ends) - self._today()).days // 30)
        return int(months * package(view, held)[4] * 0.4)

    def _change(self, write: Transaction, number: str, wanted: str) -> tuple[str, str]:
        row = _open(customer(write, number))
        held = package(write, row[2])
        new = _other(held, package(write, wanted))
        ends = self._today() + timedelta(days=round(new[5] * 30.4))
        write.execute(
            "UPDATE telco_customers SET package = ?, contract_ends = ? WHERE number = ?", (new[0], ends.isoformat(), number)
        )
        return f"{row[2]} {row[4]}", f"The package is {new[1]} now, at {money(new[4])} a month until {ends.isoformat()}."

    def _buy(self, write: Transaction, number: str, country: str, wanted: str, key: str) -> tuple[str, str]:
        credit = _open(customer(write, number))[6]
        row = _fitting(write, country, wanted)
        from_credit = min(credit, row[5])
        until = (self._today() + timedelta(days=row[3])).isoformat()
        write.execute("UPDATE telco_customers SET credit = credit - ? WHERE number = ?", (from_credit, number))
        write.execute("INSERT INTO telco_customer_passes VALUES (?, ?, ?, ?)", (key, number, row[0], until))
        billed = f" {money(row[5] - from_credit)} is on the next bill." if row[5] > from_credit else ""
        said = f"{row[2]} is active until {until}: {row[4]} GB. {money(from_credit)} was taken from the credit.{billed}"
        return str(from_credit), said

    def _today(self) -> date:
        return datetime.fromtimestamp(self.clock.time(), UTC).date()


def _open(row: Row) -> Row:
    if row[5] != "active":
        raise Refusal(f"contract {row[3]} is closed already; there is nothing left to change in it")
    return row


def _other(held: Row, new: Row) -> Row:
    if new[0] == held[0]:
        raise Refusal(f"the package is {held[1]} already; choose another")
    return new


def _fitting(view: ReadTransaction, country: str, wanted: str) -> Row:
    name, zone = place(view, country)
    row = roaming_pass(view, wanted)
    if row[1] != zone:
        fit = ", ".join(each[0] for each in view.rows("SELECT id FROM telco_passes WHERE zone = ? ORDER BY price", (zone,)))
        raise Refusal(f"{row[2]} is for {row[1]}, and {name} is in {zone}; choose one of {fit}")
    return row


def _set_alert(write: Transaction, number: str, percent: int | None, gigabytes: float | None) -> tuple[str, str]:
    row = _open(customer(write, number))
    if percent is not None and not 1 <= percent <= 100:
        raise Refusal(f"{percent} % makes no sense; give 1 to 100")
    if gigabytes is not None and not 0 < gigabytes <= 1000:
        raise Refusal(f"{gigabytes:g} GB makes no sense; give more than 0 and at most 1000")
    megabytes = None if gigabytes is None else round(gigabytes * 1000)
    write.execute("UPDATE telco_customers SET alert_percent = ?, alert_mb = ? WHERE number = ?", (percent, megabytes, number))
    said = [f"{percent} % of the data is used"] if percent is not None else []
    said += [f"{gigabytes:g} GB are left"] if gigabytes is not None else []
    return (
        f"{row[8]} {row[9]}",
        f"You are told when {' and when '.join(said)}." if said else "There are no data alerts any more.",
    )


def _undo(write: Transaction, key: str) -> bool:
    row = write.row("SELECT number, action, before FROM telco_changes WHERE key = ? AND undone = 0", (key,))
    if row is None:
        return False
    number, action, before = row
    if action == "change_package":
        held, ends = before.split(" ")
        write.execute("UPDATE telco_customers SET package = ?, contract_ends = ? WHERE number = ?", (held, ends, number))
    elif action == "purchase_roaming_pass":
        write.execute("UPDATE telco_customers SET credit = credit + ? WHERE number = ?", (int(before), number))
        write.execute("DELETE FROM telco_customer_passes WHERE key = ?", (key,))
    else:
        return False
    write.execute("UPDATE telco_changes SET undone = 1 WHERE key = ?", (key,))
    return True
