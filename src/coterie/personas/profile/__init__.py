"""Persona files: read, check, merge, describe and write them."""
