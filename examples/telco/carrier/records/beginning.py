"""The initial records of the demonstration. The numbers are of the range that is reserved for fiction."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from coterie.kernel import Clock
from coterie.storage import Database, Transaction

PACKAGES = [
    # id, name, GB (None is unlimited), minutes, price, months of contract, roaming
    ("starter", "Starter 5", 5, 200, 900, 1, "none included"),
    ("everyday", "Everyday 20", 20, 1000, 1500, 12, "Europe, up to 5 GB"),
    ("plus", "Plus 60", 60, None, 2200, 12, "Europe, up to 15 GB"),
    ("max", "Max Unlimited", None, None, 3200, 24, "Europe and North America, up to 30 GB"),
]
ADDONS = [
    ("music", "Music streaming", 500),
    ("security", "Device security", 300),
    ("calls", "International calls, 500 minutes", 700),
]
ZONES = {
    "Europe": ("Austria", "France", "Germany", "Greece", "Ireland", "Italy", "Portugal", "Spain", "Switzerland", "Turkey"),
    "North America": ("Canada", "Mexico", "United States"),
    "World": ("Australia", "Brazil", "China", "Egypt", "India", "Japan", "South Africa", "Thailand"),
}
PASSES = [
    ("europe-7", "Europe", "Europe Week", 7, 5, 900),
    ("europe-30", "Europe", "Europe Month", 30, 15, 2000),
    ("america-7", "North America", "North America Week", 7, 5, 1500),
    ("america-30", "North America", "North America Month", 30, 12, 3500),
    ("world-7", "World", "World Week", 7, 3, 2500),
    ("world-30", "World", "World Month", 30, 8, 6000),
]
CUSTOMERS = [
    # number, name, package, contract, months to its end, credit, megabytes used, alert at percent
    ("+447700900101", "Alice Rossi", "everyday", "C-1001", 5, 1250, 14_300, 80),
    ("+447700900102", "Bob Okafor", "starter", "C-1002", 0, 300, 4_890, None),
    ("+447700900103", "Carol Nguyen", "max", "C-1003", 17, 0, 88_000, None),
    ("+447700900104", "Dan Weber", "plus", "C-1004", -2, 4200, 9_100, 90),
]
OWNED = [
    ("+447700900101", "music"),
    ("+447700900102", "calls"),
    ("+447700900103", "music"),
    ("+447700900103", "security"),
]
_MONTH = 30.4


def begin(database: Database, clock: Clock) -> None:
    """Fill the tables, unless they are filled already."""
    today = datetime.fromtimestamp(clock.time(), UTC).date()
    database.write(lambda write: _fill(write, today)).result()


def _fill(write: Transaction, today: date) -> None:
    if write.row("SELECT 1 FROM telco_customers LIMIT 1"):
        return
    write.execute_many("INSERT INTO telco_packages VALUES (?, ?, ?, ?, ?, ?, ?)", PACKAGES)
    write.execute_many("INSERT INTO telco_addons VALUES (?, ?, ?)", ADDONS)
    places = [(country, zone) for zone, countries in ZONES.items() for country in countries]
    write.execute_many("INSERT INTO telco_countries VALUES (?, ?)", places)
    write.execute_many("INSERT INTO telco_passes VALUES (?, ?, ?, ?, ?, ?)", PASSES)
    for number, name, package, contract, months, credit, used, alert in CUSTOMERS:
        ends = today + timedelta(days=round(months * _MONTH))
        write.execute(
            "INSERT INTO telco_customers (number, name, package, contract, contract_ends, credit, used_mb, alert_percent)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, name, package, contract, ends.isoformat(), credit, used, alert),
        )
    since = (today - timedelta(days=100)).isoformat()
    write.execute_many("INSERT INTO telco_customer_addons VALUES (?, ?, ?)", [(*each, since) for each in OWNED])
    write.execute_many("INSERT INTO telco_bills VALUES (?, ?, ?, ?, ?)", _bills(today))


def _bills(today: date) -> list[tuple[str, str, int, str, int]]:
    packages = {each[0]: each for each in PACKAGES}
    addons = {each[0]: each for each in ADDONS}
    months = [(today.replace(day=1) - timedelta(days=round(back * _MONTH))).strftime("%Y-%m") for back in range(3)]
    rows = []
    for number, _, package, *_ in CUSTOMERS:
        items = [(packages[package][1], packages[package][4])]
        items += [(addons[addon][1], addons[addon][2]) for owner, addon in OWNED if owner == number]
        for month in months:
            rows += [(number, month, place, item, amount) for place, (item, amount) in enumerate(items)]
        # One customer was abroad a month ago.
        rows.append((number, months[1], len(items), "Calls outside of the package", 135))
    return rows
