"""Checks of this machine and of ocrd's state, each with advice for the user."""
