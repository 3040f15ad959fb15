"""The child process that holds the warm model, and the parent's side of it."""
