"""Install ocrd as a service, start it, stop it, remove it: launchd on macOS, systemd on Linux."""
