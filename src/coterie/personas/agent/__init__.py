"""Persona agents: messages, episodes of action, memories, relations and output channels."""
