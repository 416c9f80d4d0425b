"""Experiments: designs, recorded assignment, runs in parallel processes, statistics, and one report."""
