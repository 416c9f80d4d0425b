"""What agents, those who judge, and those who settle are given, and what they may want."""
