"""One scenario many times: in all modes side by side, or over settings and seeds."""
