"""The AG-UI protocol: runs, and a stream between runs, as server-sent events."""
