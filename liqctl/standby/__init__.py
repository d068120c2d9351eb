"""The armed process: connected and warm, it watches an account and closes it in milliseconds."""
