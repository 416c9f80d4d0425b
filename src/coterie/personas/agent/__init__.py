"""A persona as an agent of a runtime: what comes to it, what it does, what it remembers."""
