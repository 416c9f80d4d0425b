"""One episode of action: the standard actions, and seeing that it repeats itself."""
