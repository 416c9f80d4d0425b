"""The memory of one agent: episodes, and semantic memories made from them."""
