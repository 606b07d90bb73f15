"""What an agent does with the tools alone: it follows advice, and does whole jobs."""
