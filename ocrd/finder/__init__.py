"""What a user sees in Finder: tags on files that were read, and notifications."""
