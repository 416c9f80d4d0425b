"""The agreement of a meeting's replicas on one log, by Raft. Pure: messages and the time go in, effects come out."""
