"""The scenario kinds that are shipped with Coterie, each found by its entry point, as the kinds of users are."""
