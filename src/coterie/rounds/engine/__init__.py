"""The one engine behind the four modes: tokens that walk a graph, and wait where the mode says."""
