"""The files under docs/deploy: linted, and run as far as this machine can."""
