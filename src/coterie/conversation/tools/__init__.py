"""Tools: how a function becomes one, what it is called with, and what it may do while it runs."""
