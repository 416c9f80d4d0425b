"""Monitors of health, resources and rates of change, and a controller that enforces limits."""
