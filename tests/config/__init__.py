"""Tests of settings: loading, hosts, secrets, findings."""
