"""Open a database by its path or address."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from coterie.errors.storage import WrongUrl
from coterie.storage.database import Database
from coterie.storage.postgres import PostgresDatabase
from coterie.storage.sqlite import SqliteDatabase

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://|.*@)")


def open_database(url: str | os.PathLike[str], **options: Any) -> Database:
    """Return the opened database at a path (``run.db``), ``sqlite:///PATH`` or ``postgresql://USER:PASSWORD@HOST:PORT/NAME``.

    As in SQLAlchemy, ``sqlite:///run.db`` is in the working folder and ``sqlite:////data/run.db`` is absolute. `options`
    are those of `SqliteDatabase` or `PostgresDatabase`. Raises `WrongUrl` for any other text, and the errors of these classes.
    """
    if not isinstance(url, str):
        return SqliteDatabase(url, **options)
    scheme = _SCHEME.match(url)
    if scheme is None:
        if not url or url.startswith((":memory:", "file:")) or "\0" in url:
            raise WrongUrl(repr(url), "it does not name a file")
        return SqliteDatabase(url, **options)
    if scheme[1] == "sqlite":
        return SqliteDatabase(_path(url), **options)
    if scheme[1] in ("postgresql", "postgres"):
        return PostgresDatabase(url, **options)
    # The text after the scheme may be a secret.
    raise WrongUrl(f"{scheme[1]}://...", f"{scheme[1]!r} is not a known database")


def _path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    if parts.netloc or parts.query or parts.fragment or not path or path.startswith(":memory:") or "\0" in path:
        raise WrongUrl(url, "it does not name a file")
    return Path(path)
