"""A server, for what several machines share, behind the same contract. Needs the extra ``postgres``."""

from coterie.storage.postgres.database import PostgresDatabase

__all__ = ["PostgresDatabase"]
