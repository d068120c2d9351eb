"""What `validate` finds: of the settings, of this machine, of the venue."""
