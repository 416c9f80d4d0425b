"""The in-process cache of recently and frequently used memories, in shards."""
