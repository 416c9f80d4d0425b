"""Assistants as agents of the runtime, and as tools of one another."""
