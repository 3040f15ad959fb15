"""Fakes of what a test machine does not have: launchd, systemd, a Mac's programs."""
