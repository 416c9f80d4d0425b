"""Agents on other nodes: frames, remote endpoints, and encoding between local agents for tests."""
