"""Watch a folder and return the files that are complete: watch, ignore, wait until stable."""
