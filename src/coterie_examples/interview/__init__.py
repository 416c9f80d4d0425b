"""Interviews: personas from files answer questions in a focus group, and their answers form a table."""
