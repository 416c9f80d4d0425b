"""A model by rules instead of a language model: it understands the requests of the demonstration."""
