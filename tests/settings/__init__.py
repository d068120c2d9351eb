"""Tests of settings: the model and its sources, kept settings, hosts, credentials, targets."""
