"""The history of a conversation: its log, how that is kept, and the prompt that is read off it."""
