"""The agent of one conversation: turns, running operations, deliveries."""
