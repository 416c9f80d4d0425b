"""Studies of personas: propositions, interventions, extraction, validation, stories."""
