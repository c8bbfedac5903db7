"""Runs as a script between fork and exec: gives a program the process attributes it needs, then becomes that program.

    python -I -S launch.py <parent pid> <signal when the parent dies> <uid> <gid> <command> …

uid and gid are -1 to stay who we are. It is a script, not a `preexec_fn`, because a function run between fork and exec
of a threaded process may dead-lock. It imports nothing of ours: `-I -S` keeps its start at some ten milliseconds.

Two attributes matter:

* On Linux the program dies with its parent. A killed `flightlog up` must not leave servers behind that hold the folder.
* Postgres refuses to run as root. Root in a container is common, and the data folder may lie below folders that only
  root may enter, so a mere setuid would leave Postgres unable to reach its own files. It therefore keeps, of all of
  root's powers, only the one to pass file permissions.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _become(uid: int, gid: int) -> None:
    linux = sys.platform == "linux"
    libc = ctypes.CDLL(None, use_errno=True)
    if linux:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if not linux:
        return
    # Where the kernel or a container denies this, the program still runs; it then needs a folder that user can reach.
    bits = 1 << _CAP_DAC_OVERRIDE | 1 << _CAP_DAC_READ_SEARCH
    sets = (_CapabilitySet * 2)(_CapabilitySet(bits, bits, bits), _CapabilitySet(0, 0, 0))
    if libc.capset(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), ctypes.byref(sets)) == 0:
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def main(arguments: list[str]) -> None:
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        _become(uid, gid)
    if sys.platform == "linux":
        # After setuid: a change of user clears the death signal.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before we asked
            os.kill(os.getpid(), signal.SIGKILL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
