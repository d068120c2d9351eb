"""Settings: the model that is their table and reader, their sources, YAML, credentials."""
