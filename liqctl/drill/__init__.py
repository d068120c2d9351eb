"""Drills: the real engine against each scenario of the catalogue, and what judges say of it."""
