"""Is everything in order on this machine, and what to do where it is not."""
