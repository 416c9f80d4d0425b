"""Assistants: what a scenario of kind ``conversation`` says, the code that it names, and all of it opened."""
