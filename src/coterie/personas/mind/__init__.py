"""How a persona decides: what it knows when it does, what it can do, and minds by rules and by language models."""
