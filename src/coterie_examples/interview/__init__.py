"""Interviews: personas from files are asked questions in a focus group, and their answers are put into a table."""
