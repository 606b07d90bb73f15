"""Tests of the sandbox's mail."""
