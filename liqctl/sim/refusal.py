"""How the simulated venue says no."""


class Refused(Exception):  # noqa: N818 - the venue's word, not our error
    """The venue refuses a request."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        """Refuse with Binance's code and text, under an HTTP status."""
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def malformed(name: str) -> Refused:
    """Return the refusal of a parameter that is missing or cannot be read."""
    return Refused(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def neither(first: str, second: str) -> Refused:
    """Return the refusal of a request that names an order in no way."""
    return Refused(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")
