"""Which venue an account is on."""

from enum import StrEnum


class Environment(StrEnum):
    """The three places liqctl works on; there is no default."""

    PRODUCTION = "production"
    TESTNET = "testnet"
    SIMULATOR = "simulator"
