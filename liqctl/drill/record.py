"""`drills.jsonl`: a line for each drill, beside the trail; `validate --online` reads it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from liqctl.audit.file import open_trail
from liqctl.report.json import dump_line

DRILLS_NAME: Final = "drills.jsonl"


def append_row(path: Path, row: Mapping[str, object]) -> str | None:
    """Append one line in one write; return why it is not on disk, None when it is. Never raises."""
    try:
        file = open_trail(path)  # Ours alone, 0600, no link followed: as careful as with the trail.
        with file.courtesy() as is_alone:
            size, after_newline = file.settle(file.size())
            end = file.append(
                dump_line(row).encode("ascii"),
                after_newline=after_newline,
                alone_at=size if is_alone else None,
            )
        os.fsync(file.fd)
        file.close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None if end is not None else "the line was written in part only"
