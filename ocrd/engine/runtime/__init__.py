"""Run the model on this machine: which device, what to do when it fails, how many pages at once."""
