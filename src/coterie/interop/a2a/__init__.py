"""An assistant as an A2A agent: its card, messages, streams, and tasks that are operations of the ledger."""
