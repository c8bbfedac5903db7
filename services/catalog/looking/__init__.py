"""Looking into the cache: what is in it, why a node found what it found, and taking results out of it."""
