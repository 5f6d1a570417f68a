"""Types at a program that has a terminal, and prints what it shows.

  terminal.py COMMAND... -- [WANTED KEYS]...

KEYS are typed, with Python's escapes, when the regular expression WANTED has been seen after what was typed before.
When all is typed the program must end by itself.
"""

import os
import pty
import re
import sys


def read_more(terminal):
    try:
        more = os.read(terminal, 4096)
    except OSError:  # EIO: nothing has the terminal open
        return b""
    sys.stdout.buffer.write(more.replace(b"\r", b""))
    sys.stdout.flush()
    return more


def main(command, steps):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    unseen = b""
    for wanted, keys in zip(steps[::2], steps[1::2]):
        while not (found := re.search(wanted.encode(), unseen)):
            more = read_more(terminal)
            if not more:
                sys.exit("ended before %r" % wanted)
            unseen += more
        unseen = unseen[found.end():]
        os.write(terminal, keys.encode().decode("unicode_escape").encode())
    while read_more(terminal):
        pass
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


cut = sys.argv.index("--")
main(sys.argv[1:cut], sys.argv[cut + 1:])
