"""The records of the company: its tables, and the initial customers of the demonstration."""
