"""References to agents, asks and their replies: all that code holds of an agent besides its class.

Nothing here knows how an agent runs. Each module names the parts of the runtime and of the receiving agent that it needs
as small Protocols.
"""
