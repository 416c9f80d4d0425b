"""Writing behind: what waits for a tier, who waits for that, and the threads that do it."""
