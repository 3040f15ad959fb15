"""The daemon: the loop over the inboxes, the reader of jobs, and the lock that keeps it alone."""
