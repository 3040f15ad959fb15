"""What ocrd writes next to a file that it has read."""
