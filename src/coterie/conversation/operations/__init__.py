"""Operations: what becomes of a call of a tool, as values, as a pure machine, and in a durable ledger."""
