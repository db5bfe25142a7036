"""The fences that the operating system puts around a student's process, as far as it lets us.

On Linux, `unshare` starts a program in namespaces of its own: without a network, and with every disk read-only but for
one folder. Not every machine allows it, so each fence is tried before it is trusted: a probe inside it knocks at a port
that is open outside, and writes to a folder that it must not reach. The report of a class says which fence stood.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20

# All mounts become read-only, the box is mounted on itself before and stays writable. $1 is the box.
READ_ONLY = """
mount --bind "$1" "$1" || exit 1
cut -d' ' -f2 /proc/self/mounts | while read -r place; do
  [ "$place" = "$1" ] || mount -o remount,bind,ro "$place" 2>/dev/null
done
cd "$1" && shift && exec "$@"
"""

# In the fence: exit status 1 for each door that is open, 0 if none is.
PROBE = """
import socket, sys
box, outside, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
open(box + "/inside.txt", "w").close()
try:
    open(outside + "/outside.txt", "w").close()
    wrote = True
except OSError:
    wrote = False
try:
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    connected = True
except OSError:
    connected = False
print(int(wrote), int(connected))
"""


@dataclass(frozen=True)
class Sandbox:
    """A command to put before another one, and what it keeps a program from."""

    command: tuple[str, ...]  # "{box}" stands for the folder that stays writable
    no_network: bool
    read_only: bool

    def wrapper(self, box: Path) -> list[str]:
        """The command for one box."""
        return [part.replace("{box}", str(box)) for part in self.command]

    def describe(self) -> str:
        """One sentence for the report of a class."""
        network = "has no network" if self.no_network else "CAN use the network"
        disk = "cannot write outside its own folder" if self.read_only else "CAN write wherever you can"
        return f"a student's process {network} and {disk}, as far as the operating system is asked"


NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child")
SHELL = ("sh", "-c", READ_ONLY, "sh", "{box}")
CANDIDATES = (
    Sandbox(("unshare", "--user", "--map-root-user", *NAMESPACES, *SHELL), no_network=True, read_only=True),
    Sandbox(("unshare", *NAMESPACES, *SHELL), no_network=True, read_only=True),
    Sandbox(("unshare", "--user", "--map-root-user", "--net"), no_network=True, read_only=False),
    Sandbox(("unshare", "--net"), no_network=True, read_only=False),
)
NONE = Sandbox((), no_network=False, read_only=False)


def find_sandbox() -> Sandbox:
    """The strongest fence that holds what it promises here; NONE if there is none."""
    return next((sandbox for sandbox in CANDIDATES if holds(sandbox)), NONE)


def holds(sandbox: Sandbox) -> bool:
    """Try it: can a program inside still reach what it must not?"""
    with tempfile.TemporaryDirectory() as box, tempfile.TemporaryDirectory() as outside, socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        command = [sys.executable, "-I", "-c", PROBE, box, outside, str(server.getsockname()[1])]
        try:
            done = subprocess.run(
                [*sandbox.wrapper(Path(box)), *command], capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        expected = f"{int(not sandbox.read_only)} {int(not sandbox.no_network)}"
        return done.returncode == 0 and done.stdout.split() == expected.split()
