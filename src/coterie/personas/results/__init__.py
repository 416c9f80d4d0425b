"""What comes of asking personas: a focus group, answers as typed values, a table of them, a transcript."""
