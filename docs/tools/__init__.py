"""Generators of the documentation: the reference, the list of public names, the picture of the rooms, `llms.txt`."""
