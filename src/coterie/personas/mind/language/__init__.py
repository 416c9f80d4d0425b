"""A mind that asks a language model: what it is told, and how its answer is read."""
