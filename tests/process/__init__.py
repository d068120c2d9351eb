"""The real program in hostile surroundings."""
