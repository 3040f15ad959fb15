"""How another process reaches the daemon: lock, wake-up, status, submitted files, last exit."""
