"""Those who watch: health checks, resources of process and machine, rates of change, and the limits drawn from them."""
