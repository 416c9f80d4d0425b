"""What a run looked like: one HTML page that needs nothing beside it."""
