"""PostgreSQL, for state that several machines share. Needs the extra ``postgres``."""

from coterie.storage.postgres.database import PostgresDatabase

__all__ = ["PostgresDatabase"]
