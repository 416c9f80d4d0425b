"""How a conversation speaks: answers to what was said, and results between the turns."""
