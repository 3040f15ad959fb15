"""The daemon: watches the inboxes, runs the jobs, and notifies the user of their ends."""
