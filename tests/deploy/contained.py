"""Start a program as a restricted container does: `python contained.py ROOT UID GID DIRECTORY PROGRAM [ARGUMENT...]`.

Run by root in a mount and a process namespace of its own (`unshare --mount --pid --fork`), so that nothing it mounts is
seen elsewhere and the program is process 1. The root is read-only; /tmp is empty and has the rights that it has in the
image; the program has no capability and can gain none. The network is the machine's own.
"""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
from pathlib import Path

PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
CAPABILITIES = range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def control(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} {value}")


def main(root: str, uid: int, gid: int, directory: str, program: list[str]) -> None:
    tmp = Path(root, "tmp")
    mode = stat.S_IMODE(tmp.stat().st_mode)
    mount("--bind", root, root)
    mount("-o", "remount,bind,ro", root)
    mount("-t", "tmpfs", "-o", f"mode={mode:o}", "tmpfs", str(tmp))
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("--rbind", "/dev", f"{root}/dev")
    os.chroot(root)
    os.chdir(directory)
    for capability in CAPABILITIES:
        control(PR_CAPBSET_DROP, capability)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)  # which takes the other capabilities, too
    control(PR_SET_NO_NEW_PRIVS, 1)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:])
