"""What the company knows: its tables, and the customers that the demonstration begins with."""
