"""The tiers as one store: reading through them, and moving memories between them."""
