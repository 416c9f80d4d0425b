"""The commons: several who share a stock that grows again, propose rules for it, and are judged."""
