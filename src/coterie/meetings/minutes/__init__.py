"""What a meeting is made of: events in one order, and the state that they fold to. Pure: no thread, no clock."""
