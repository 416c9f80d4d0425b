"""One conversation as an agent: turns, running operations, deliveries."""
