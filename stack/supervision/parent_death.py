"""Ties a program to its supervisor, then becomes that program.

Run as `python parent_death.py SUPERVISOR_PID PROGRAM ARGUMENTS…`. On Linux the program gets SIGTERM
when the supervisor dies, even by SIGKILL; elsewhere the next `everline up` stops it. To start in
milliseconds, this script imports nothing of ours.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the parent-death signal and execute the program."""
    supervisor, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != int(supervisor):
            sys.exit("the supervisor died before this program was started")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
