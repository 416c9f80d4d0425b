"""How models embed questions and passages, and an index of vectors."""
