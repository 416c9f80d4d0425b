"""The stages of a round, and the ways between them."""
