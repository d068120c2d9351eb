"""Tests of what `validate` finds."""
