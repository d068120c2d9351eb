"""What `validate` finds, and what is taken out of texts for others."""
