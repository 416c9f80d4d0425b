"""The past of a world: the event log on the disk, and the recent commits in memory."""
