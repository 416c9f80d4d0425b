"""Where what a persona says goes: to mailboxes, onto the floor of a meeting, into a round."""
