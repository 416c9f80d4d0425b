"""Minds by rules, and a rule that answers from a persona's own file."""
