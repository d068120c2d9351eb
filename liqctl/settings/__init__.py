"""Settings: the model that is their table and reader, its sources, YAML, hosts, credentials."""
