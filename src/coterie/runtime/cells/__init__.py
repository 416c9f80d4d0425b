"""Running agents: the record of each agent, its incarnations and life cycle, and its supervision group."""
