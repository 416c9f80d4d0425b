"""The four tiers as one store: reading through them, writing behind, and moving memories between them."""
