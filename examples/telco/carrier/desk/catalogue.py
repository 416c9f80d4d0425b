"""The public offers of the company: packages, and roaming."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from coterie.storage import Database, ReadTransaction, Row

from ..numbers import money
from ..refusal import Refusal
from .accounts import described

_ALIASES = {"usa": "United States", "us": "United States", "america": "United States", "the united states": "United States"}


@dataclass(frozen=True)
class Catalogue:
    """Reads that need no login. Safe from any thread."""

    database: Database

    def packages(self) -> list[str]:
        """Return the packages in words, cheapest first."""
        rows = self.database.rows(
            "SELECT id, name, data_gb, minutes, price, months, roaming FROM telco_packages ORDER BY price"
        )
        return [described(row) for row in rows]

    def recommend(self, data_gb: float | None, budget: float | None, *, roaming: bool) -> dict[str, Any]:
        """Return up to two packages that fit: enough data, within the budget in pounds, with roaming if that is wanted."""
        for name, value in (("data_gb", data_gb), ("budget", budget)):
            if value is not None and value < 0:
                raise Refusal(f"{name} = {value:g} makes no sense; give what is needed a month, or leave it out")
        rows = self.database.rows(
            "SELECT id, name, data_gb, minutes, price, months, roaming FROM telco_packages ORDER BY price"
        )
        enough = [row for row in rows if data_gb is None or row[2] is None or row[2] >= data_gb]
        fitting = [row for row in enough if not roaming or "none" not in row[6]]
        payable = [row for row in fitting if budget is None or row[4] <= budget * 100]
        if payable:
            return {"recommended": [described(row) for row in payable[:2]], "why": _why(data_gb, budget, roaming=roaming)}
        nearest = fitting[:1] or enough[:1] or rows[-1:]
        return {
            "recommended": [described(row) for row in nearest],
            "why": f"nothing meets {_why(data_gb, budget, roaming=roaming)}; this comes nearest",
        }

    def roaming(self, country: str) -> dict[str, Any]:
        """Return the zone of a country, and the passes for it."""

        def look(view: ReadTransaction) -> dict[str, Any]:
            name, zone = place(view, country)
            rows = view.rows("SELECT id, name, days, data_gb, price FROM telco_passes WHERE zone = ? ORDER BY price", (zone,))
            return {
                "country": name,
                "zone": zone,
                "without a pass": "£5.00 for each GB" if zone == "Europe" else "£12.00 for each GB",
                "passes": [f"{row[1]} ({row[0]}): {row[3]} GB for {row[2]} days, {money(row[4])}" for row in rows],
            }

        return self.database.read(look)


def place(view: ReadTransaction, country: str) -> tuple[str, str]:
    """Return the name of a country, and its zone. Raises `Refusal`, which suggests the nearest names."""
    rows = view.rows("SELECT country, zone FROM telco_countries ORDER BY country")
    names = {str(row[0]).lower(): row for row in rows}
    word = country.strip().lower().removeprefix("the ")
    word = _ALIASES.get(word, word).lower()
    if word not in names:
        close = difflib.get_close_matches(word, names, n=1)
        hint = f"did you mean {names[close[0]][0]}?" if close else f"there are {', '.join(str(row[0]) for row in rows)}"
        raise Refusal(f"we do not know {country!r}; {hint}")
    row = names[word]
    return row[0], row[1]


def roaming_pass(view: ReadTransaction, wanted: str) -> Row:
    """Return the row of a pass, by its id or its name. Raises `Refusal`, which lists the passes."""
    rows = view.rows("SELECT id, zone, name, days, data_gb, price FROM telco_passes ORDER BY zone, price")
    word = wanted.strip().lower()
    for row in rows:
        if word in (row[0], row[2].lower()):
            return row
    raise Refusal(f"there is no pass {wanted!r}; there are {', '.join(row[0] for row in rows)}")


def _why(data_gb: float | None, budget: float | None, *, roaming: bool) -> str:
    parts = [f"{data_gb:g} GB"] if data_gb is not None else []
    parts += [f"£{budget:g} a month"] if budget is not None else []
    parts += ["roaming"] if roaming else []
    return " and ".join(parts) or "no particular wish"
