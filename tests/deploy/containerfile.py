"""Reads the Containerfile, and goes through its steps where no container engine runs.

The stand-in for an image is an overlay over this machine's own files: what a step writes stays in
memory and is gone with the process. It needs root, `unshare` and overlayfs.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CONTAINERFILE: Final = ROOT / "Containerfile"
TIMEOUT_S: Final = 500

_ENTER: Final = """
set -e
mount -t tmpfs -o mode=0755 tmpfs {place}
mkdir {place}/upper {place}/work {place}/root
mount -t overlay overlay -o lowerdir=/,upperdir={place}/upper,workdir={place}/work {place}/root
mount --rbind /proc {place}/root/proc
mount --rbind /dev {place}/root/dev
"""
_FREEZE: Final = """
mount -t tmpfs -o mode=1777 tmpfs {place}/root/tmp
mount -t tmpfs -o mode=0700,uid={user},gid={user} tmpfs {place}/root{volume}
{again}
mount -o remount,ro {place}/root
"""
_AGAIN: Final = """
mkdir -p {place}/root{hidden}
mount --bind {hidden} {place}/root{hidden}
"""
"""A checkout in /tmp is hidden by the container's own /tmp, and its libraries are needed."""
_DROP: Final = (
    "chroot {place}/root setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs "
    "--bounding-set=-all --inh-caps=-all env -i {variables} sh -c {command}\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One instruction: its word, and what stands behind it on one line."""

    word: str
    text: str

    @property
    def arguments(self) -> list[str]:
        """The words behind the instruction; a JSON list is read as one."""
        if self.text.startswith("["):
            listed: list[str] = json.loads(self.text)
            return listed
        return shlex.split(self.text)


def stages() -> list[list[Step]]:
    """Return the steps of each stage, FROM first; what stands before the first is left out."""
    found: list[list[Step]] = []
    for step in steps():
        if step.word == "FROM":
            found.append([])
        if found:
            found[-1].append(step)
    return found


def steps() -> Iterator[Step]:
    """Yield every instruction, continued lines joined, comments left out."""
    lines = CONTAINERFILE.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            yield Step(word=word, text=" ".join(rest.split()))


def only(stage: Sequence[Step], word: str) -> Step:
    """Return the one instruction of that name."""
    (found,) = (step for step in stage if step.word == word)
    return found


def what_is_missing() -> str:
    """Return why the steps cannot be gone through here, empty when they can."""
    if os.geteuid() != 0:
        return "only root can stand in for a container engine"
    missing = [name for name in ("unshare", "setpriv", "chroot") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    probe = (
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t overlay overlay "
        "-o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r"
    )
    ended = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", probe],
        check=False,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    return "" if ended.returncode == 0 else "no overlay may be mounted here"


def build_script(stage: Sequence[Step]) -> str:
    """Return the RUN, COPY and WORKDIR steps of a stage as shell."""
    lines = ["set -e", f"export PATH={sys.base_prefix}/bin:$PATH"]
    for step in stage:
        match step.word:
            case "WORKDIR":
                lines += [f"mkdir -p {step.text}", f"cd {step.text}"]
            case "RUN":
                lines.append(f"sh -c {shlex.quote(step.text)}")
            case "COPY" if not step.text.startswith("--from="):
                *sources, target = step.arguments
                whole = " ".join(f"{ROOT / source}" for source in sources)
                is_folder = len(sources) == 1 and (ROOT / sources[0]).is_dir()
                lines += [
                    f"mkdir -p {target if is_folder or target.endswith('/') else '.'}",
                    f"cp -R {whole}/. {target}" if is_folder else f"cp {whole} {target}",
                ]
            case _:
                pass
    return "\n".join(lines) + "\n"


def rehearse(place: Path, make: str, commands: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run `make` as root, then the commands as the image's user on a root nobody can write to.

    Args:
        place: an empty folder to mount things on.
        make: shell lines that leave /opt/liqctl, run inside the stand-in.
        commands: what the container runs, in its environment and working directory.
    """
    last = stages()[-1]
    user = only(last, "USER").text.partition(":")[0]
    volume = only(last, "VOLUME").text
    names = {"place": place, "user": user, "volume": volume}
    readable = {str(parent) for path in (sys.base_prefix, ROOT) for parent in Path(path).parents}
    prepare = f"chmod o+x {shlex.join(sorted(readable))}\n{make}"
    script = _ENTER.format(**names) + f"chroot {place}/root sh -c {shlex.quote(prepare)}\n"
    is_hidden = ROOT.is_relative_to("/tmp")
    again = _AGAIN.format(**names, hidden=shlex.quote(str(ROOT))) if is_hidden else ""
    script += _FREEZE.format(**names, again=again)
    workdir = only(last, "WORKDIR").text
    for command in commands:
        script += _DROP.format(
            **names,
            variables=only(last, "ENV").text,
            command=shlex.quote(f"cd {workdir}; {command}"),
        )
    return subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
