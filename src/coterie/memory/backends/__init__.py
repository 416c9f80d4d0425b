"""Backends of tiers: in process, SQLite, Redis and PostgreSQL, behind one contract."""
