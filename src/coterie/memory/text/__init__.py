"""Analysis of text in any language for searches, and the ranking of what they find."""
