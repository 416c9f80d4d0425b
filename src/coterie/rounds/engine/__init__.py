"""The engine behind the four modes: tokens walk the graph, and wait where the mode's strategy says."""
