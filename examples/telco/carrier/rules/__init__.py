"""A model by rules, which stands in where there is no language model: it understands what the demonstration needs."""
