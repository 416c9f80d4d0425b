"""Observation of running agents: health, inspection, quiescence."""
