"""What SECURITY.md promises, attacked: one file for each promise."""
