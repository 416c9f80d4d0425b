"""What runs replicas beside agents: a clerk for each meeting on each node, which never waits for a member."""
