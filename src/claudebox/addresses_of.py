"""What names have for addresses: a program of its own, which lookup.py runs, because getaddrinfo(3) cannot be given up.

usage: python3 -I -S addresses_of.py NAME...       a line for each, when it is there: `nas.lan 192.168.1.9 fd12::9`

Imports nothing of ours. It ends with the last answer, and when nobody reads any more.
"""

from __future__ import annotations

import _thread
import os
import select
import socket
import sys


def main(names: list[str]) -> None:
    """Ask for all of them at once."""
    lock, left = _thread.allocate_lock(), set(names)

    def ask(name: str) -> None:
        try:
            found = [str(at[0]).partition("%")[0] for *_, at in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError):
            found = []
        with lock:
            os.write(1, " ".join([name, *dict.fromkeys(found)]).encode() + b"\n")
            left.discard(name)
            if not left:
                os._exit(0)

    for name in names:
        _thread.start_new_thread(ask, (name,))
    reader = select.poll()
    reader.register(1, 0)  # of a reader that is gone it tells unasked
    reader.poll()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
