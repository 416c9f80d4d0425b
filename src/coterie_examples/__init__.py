"""The scenario kinds that are shipped with Coterie. Each is found by its entry point, like the kinds of users."""
