"""OpenAI's chat completions, for chat front ends that speak nothing else."""
