"""The conformance runners of protocols, and what they are run against. `make conformance` runs them."""
