"""What a model may call, and what becomes of it before anything runs."""
