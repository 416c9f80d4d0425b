"""References to agents, asks and replies: the parts of an agent that other code holds.

Nothing here knows how an agent runs. Each module declares the parts of the runtime and of the receiving agent that it
needs as small Protocols.
"""
