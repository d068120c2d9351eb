"""Effects in order: rounds of reading, planning, sending and verifying, inside one deadline."""
