"""Finding memories: words, meanings, and the ranking that weighs them together."""
