"""Tools: definition, arguments, context, attempts and results."""
