"""Links to the same page with another query."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.datastructures import QueryParams


class Links:
    """Makes queries from that of a visit."""

    def __init__(self, query: QueryParams) -> None:
        self._query = {name: value for name, value in query.items() if value}

    def with_values(self, **changes: str) -> str:
        """Return the query with other values; empty ones are left out."""
        return urlencode({name: value for name, value in (self._query | changes).items() if value})

    def with_page(self, number: int) -> str:
        """Return the query of another page of a table."""
        return self.with_values(page=str(number) if number > 1 else "")
