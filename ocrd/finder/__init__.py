"""What a person sees in Finder: tags on what was read, and notifications."""
