"""The state of a meeting: values, events, conditions and floor policies, and the fold of the log over them. Pure."""
