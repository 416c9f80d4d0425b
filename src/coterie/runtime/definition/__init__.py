"""The definition of an agent: its class, handlers, context, arguments and supervision policy."""
