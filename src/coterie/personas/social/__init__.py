"""What personas share: who knows whom, where each is to be found, and what can be consulted."""
