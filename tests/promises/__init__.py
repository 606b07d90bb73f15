"""Attacks on the promises of SECURITY.md, one file for each promise."""
