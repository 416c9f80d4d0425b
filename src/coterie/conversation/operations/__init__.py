"""Operations: the values, the pure state machine, and the durable ledger of tool calls."""
