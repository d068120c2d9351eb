"""Documents and results as text for people and as JSON."""
