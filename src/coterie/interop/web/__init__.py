"""What every endpoint needs of HTTP: who may come in, bodies with a limit, faults, streams of events."""
