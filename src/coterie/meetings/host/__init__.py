"""Hosting of replicas beside agents: one replica host for each meeting on each node, which never waits for a member."""
