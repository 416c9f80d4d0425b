"""What Coterie costs, beside raw primitives and its peers, in one run. `python -m benchmarks [NAME ...]`."""
