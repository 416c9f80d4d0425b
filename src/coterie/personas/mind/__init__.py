"""Minds of personas: situations, decisions, kinds of action, minds by rules and by language models."""
