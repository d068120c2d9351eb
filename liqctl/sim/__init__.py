"""The simulated venue: pure state, faults, a door in memory and one on loopback."""
