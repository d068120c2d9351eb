"""The audit trail: append, sync, chain, read, verify."""
