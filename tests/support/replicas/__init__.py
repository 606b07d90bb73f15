"""Replicas of a server behind a balancer, for tests."""
