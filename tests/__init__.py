"""Tests; what stands here holds for every one that starts the program or a run in real time."""

from typing import Final

QUICK_SETTLE: Final = {"LIQCTL_LIQUIDATION__SETTLE_SECONDS": "0.1"}
"""Flat is watched this short where a test runs the program in real time and says nothing else: at
the default of 2 s each run would take 2 s longer. A few tests say `--settle` or empty this."""
