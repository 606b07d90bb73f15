"""Tests of the repository itself: layout, documents, deployment files, dependencies and distributions."""
