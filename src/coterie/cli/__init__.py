"""The command line, one module a command."""

from coterie.cli.application import main

__all__ = ["main"]
