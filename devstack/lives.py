"""A process with more than one life, for what is killed on purpose."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable


def live_again(life: Callable[[], int]) -> int:
    """Run `life` in a fork of this process, and again each time it was killed; return its exit code otherwise.

    A worker takes seconds of a processor to import what it needs; a fork is back at once.
    """
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())  # the group's signal reaches the fork by itself
    while not told_to_stop.is_set():
        code = os.waitstatus_to_exitcode(os.waitpid(_born(life), 0)[1])
        if code != -signal.SIGKILL:
            return code
    return 0


def _born(life: Callable[[], int]) -> int:
    child = os.fork()
    if child:
        return child
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        code = life()
    except BaseException:  # noqa: BLE001 whatever it was, a fork must not go on into its parent's code
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)
