"""Drills: real runs against each scenario of the catalogue, and what judges say of them."""
