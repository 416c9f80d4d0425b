"""The commons: fishers share a stock that grows again, and propose rules for it to a judge."""
