"""The state of a world: frozen values, events, views, folds, digests and differences."""
