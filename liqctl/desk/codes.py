"""The venue's error codes in words an operator can act on."""

from liqctl.kernel.codes import CODES


def explain_code(code: int) -> str:
    """Return what a code means.

    >>> explain_code(-4141)
    'the symbol is closed for trading'
    >>> explain_code(-9999)
    'not a code that liqctl knows: see Binance USDS-M "Error Code"'
    """
    row = CODES.get(code)
    return row.words if row else 'not a code that liqctl knows: see Binance USDS-M "Error Code"'
