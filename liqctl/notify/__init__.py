"""Tells people of a run, after its end: what each service wants to be sent, and the sending."""
