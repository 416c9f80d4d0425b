"""How replicas of one meeting agree on its minutes. Pure: messages and the time go in, messages and effects come out."""
