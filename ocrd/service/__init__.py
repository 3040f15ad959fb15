"""ocrd as a service: installed, started, stopped and removed, with launchd on a Mac and systemd
on Linux.
"""
