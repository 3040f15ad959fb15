"""What reads pages: one protocol, and the backends that follow it."""
