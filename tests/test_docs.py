"""The commands of the pages are run: what is pasted in an emergency has been seen to work.

`<!-- run: SCENARIO -->` before a block serves that scenario to it. Each line is a command; a
comment `# exits N` says how it ends, 0 where there is none.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import liqctl
from liqctl.cli.root import COMMANDS
from liqctl.sim.scenario import load_scenario
from liqctl.sim.server import EmbeddedServer
from tests import QUICK_SETTLE

REPOSITORY: Final = Path(__file__).parents[1]
PAGES: Final = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
TIMEOUT_S: Final = 100
_BLOCK: Final = re.compile(
    r"^(?P<indent> *)<!-- run: (?P<scenario>\w+) -->\n *```bash\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
_EXIT: Final = re.compile(r"# exits (\d+)")
_LINK: Final = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]+)?\)")
_FENCE: Final = re.compile(r"^ *```(?:bash|sh)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_PROOF: Final = re.compile(
    r"status .*--exit-code(?!.*exits)|\.account\.flat|\.is_valid|audit verify(?!.*exits)"
)
"""What ends with 0 only where the account is flat, the settings valid, the trail whole."""
_COMMAND: Final = re.compile(r"(?<!from )\bliqctl ([a-z]+)\b")

_FILE: Final = re.compile(r"\b\w+/\w[\w/]*\.py\b")


def test_every_module_and_test_that_a_page_names_exists() -> None:
    """A page that leads to a file of last year leads nowhere."""
    guides = (*PAGES, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "SECURITY.md")
    named = {(page.name, name) for page in guides for name in _FILE.findall(page.read_text())}
    folders = (REPOSITORY, REPOSITORY / "docs", REPOSITORY / "liqctl")
    missing = sorted(
        f"{page}: {name}"
        for page, name in named
        if not any((folder / name).is_file() for folder in folders)
    )

    assert len(named) >= 20
    assert missing == []


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of commands on a page."""

    page: str
    number: int
    scenario: str
    commands: Sequence[str]

    def __str__(self) -> str:
        """Return where it stands, as the test's name."""
        return f"{self.page}-{self.number}-{self.scenario}"

    @property
    def exits(self) -> list[int]:
        """How each command ends, as the page says."""
        found = [_EXIT.search(command) for command in self.commands]
        return [int(match[1]) if match else 0 for match in found]


def blocks() -> Iterator[Block]:
    """Yield the runnable blocks of all pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, match in enumerate(_BLOCK.finditer(text), start=1):
            lines = match["text"].replace(f"\n{match['indent']}", "\n").strip()
            yield Block(
                page=page.stem,
                number=number,
                scenario=match["scenario"],
                commands=_commands(lines),
            )


def _commands(text: str) -> list[str]:
    """Return the commands; one whose quote is still open goes on in the next line."""
    commands: list[str] = []
    for line in text.splitlines():
        if commands and commands[-1].count("'") % 2:
            commands[-1] += f"\n{line}"
        else:
            commands.append(line)
    return commands


def make_tools(folder: Path) -> Path:
    """Return a folder with `liqctl` and `python` as an installation has them."""
    folder.mkdir()
    for name, words in (("liqctl", "-m liqctl "), ("python", "")):
        tool = folder / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        tool.chmod(0o755)
    return folder


@pytest.mark.parametrize("block", list(blocks()), ids=str)
def test_a_pages_commands_end_as_the_page_says(block: Block, tmp_path: Path) -> None:
    """A command that is wrong in an emergency costs more than a page without it."""
    if "jq " in " ".join(block.commands) and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    work = tmp_path / "work"
    work.mkdir()
    codes = tmp_path / "codes"
    script = "\n".join(f'{command}\necho "$?" >> "{codes}"' for command in block.commands)
    tools = make_tools(tmp_path / "bin")
    # What a page says of trouble, and of a drill, holds at the default; the rest need not wait.
    is_quiet = block.scenario == "default" and "liqctl drill" not in script
    settle = QUICK_SETTLE if is_quiet else {}
    with EmbeddedServer(load_scenario(block.scenario)) as server:
        ended = subprocess.run(
            ["bash", "-m", "-c", script],
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=work,
            stdin=subprocess.DEVNULL,
            env={
                "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "LIQCTL_AUDIT__LOG_DIR": "logs",  # as the shipped files have it
                "PYTHONPATH": str(Path(liqctl.__file__).parent.parent),
                "LIQCTL_EXCHANGE__BASE_URL": server.url,
                "LIQCTL_SIMULATOR_API_KEY": server.api_key,
                "LIQCTL_SIMULATOR_API_SECRET": server.api_secret,
                **settle,
            },
        )

    seen = [int(line) for line in codes.read_text().split()]
    assert list(zip(block.commands, seen, strict=False)) == list(
        zip(block.commands, block.exits, strict=True)
    ), ended.stdout + ended.stderr


@pytest.mark.parametrize("number", range(1, 7))
def test_a_symptoms_first_block_produces_it_and_then_proves_it_resolved(number: int) -> None:
    """A page that stops at the symptom leaves its reader there."""
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {number}. ")[1].split("\n## ")[0]
    block = next(_BLOCK.finditer(section))
    lines = _commands(block["text"].strip())
    shown = [at for at, line in enumerate(lines) if _EXIT.search(line) or "--orders-only" in line]
    proofs = [at for at, line in enumerate(lines) if _PROOF.search(line)]

    assert shown
    assert proofs
    assert max(shown) < max(proofs)


def test_every_link_leads_somewhere() -> None:
    """A page that sends the reader nowhere is worse than none; anchors are headings."""
    broken = []
    for page in PAGES:
        for match in _LINK.finditer(page.read_text(encoding="utf-8")):
            target = (page.parent / match[1]).resolve() if match[1] else page
            if not target.exists() or (match[2] and match[2][1:] not in anchors(target)):
                broken.append(f"{page.name}: {match[0]}")

    assert broken == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_name_only_commands_that_exist() -> None:
    """Nobody should type a plan of ours."""
    fences = [text for page in PAGES for text in _FENCE.findall(page.read_text(encoding="utf-8"))]
    named = {name for text in fences for name in _COMMAND.findall(text)}

    assert named <= set(COMMANDS)
