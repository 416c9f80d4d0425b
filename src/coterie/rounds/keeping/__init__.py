"""What is kept of a simulation beside the events of its world: checkpoints, and what time has decided."""
