"""The exchange room, against servers of its own."""
