"""Assistants: scenario files of kind ``conversation``, the code that they name, and the open assistant."""
