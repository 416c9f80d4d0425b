"""Retrieval: words, embeddings, and the ranking that combines them."""
