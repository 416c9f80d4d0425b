"""The AG-UI protocol: runs, and a channel to listen between them, as server-sent events."""
