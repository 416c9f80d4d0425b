"""Durable agents: addressed by class and key, activated by a message, and stored with each message that they handle.

`entity_kind` reads a class, `unit_of_work` collects what one message changes, `entity_cell` runs an activation,
`entity_endpoint` activates and passivates one key, and `entities` holds the endpoints of a runtime and delivers stored
messages.
"""
