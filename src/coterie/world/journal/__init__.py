"""What happened: the event log on the disk, and the recent past in memory."""
