"""Install ocrd as a service, start it, stop it and remove it: launchd on macOS, systemd on Linux."""
