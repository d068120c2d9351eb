"""Who runs this process, for the start record: nobody shall say "I did not press it"."""

import os
import pwd
import socket
import sys


def describe_actor() -> dict[str, object]:
    """Return user, sudo user, SSH client, terminal or not, host and pid."""
    return {
        "user": user_name(),
        "sudo_user": os.environ.get("SUDO_USER"),
        "ssh_client": os.environ.get("SSH_CLIENT") or os.environ.get("SSH_CONNECTION"),
        "terminal": _is_terminal(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


def user_name() -> str:
    """Return the name of the real user, its number when it has none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _is_terminal() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        return False
