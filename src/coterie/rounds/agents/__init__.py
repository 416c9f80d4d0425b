"""Those who take part: whatever they are, each is hosted by a runtime agent, on a thread of its own."""
