"""Parse, wire, confirm, exit: one command a module, no decisions."""
