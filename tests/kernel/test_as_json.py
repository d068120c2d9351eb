"""Documents as text: JSON stays ASCII."""

import json

from liqctl.kernel.as_json import dump, dump_line


def test_json_is_ascii_and_reads_back_equal() -> None:
    """A terminal or log without UTF-8 must still show the whole document."""
    document = {"symbol": "龙虾USDT", "error": "a\x1b[2J"}

    assert dump(document).isascii()
    assert json.loads(dump(document)) == document
    assert json.loads(dump_line(document)) == document
    assert "\n" not in dump_line(document)
