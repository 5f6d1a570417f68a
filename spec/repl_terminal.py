"""repl_terminal.py - drives `lencase repl` in a terminal: repl_terminal.py LENCASE [WAIT-FOR KEYS]...

Waits for each text in turn and types the keys after it (with Python's escapes); at last waits for
the end. What the terminal showed goes to stdout, the exit status is the prompt's.
"""
import os
import pty
import select
import sys
import time

SECONDS = 20


def wait_for(fd, text, shown, end):
    seen = b""
    while text not in seen:
        ready, _, _ = select.select([fd], [], [], max(0, end - time.time()))
        if not ready:
            sys.stdout.buffer.write(shown + seen + b"\n*** still waiting for " + text + b"\n")
            sys.exit(99)
        try:
            more = os.read(fd, 65536)
        except OSError:  # EIO: the other end is closed
            more = b""
        if not more:
            break
        seen += more.replace(b"\a", b"")
    return shown + seen


def main():
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[1], [sys.argv[1], "repl"])
    shown = b""
    end = time.time() + SECONDS
    for text, keys in zip(sys.argv[2::2], sys.argv[3::2]):
        shown = wait_for(fd, text.encode(), shown, end)
        os.write(fd, keys.encode().decode("unicode_escape").encode("latin-1"))
    shown = wait_for(fd, b"\0never", shown, end)
    sys.stdout.buffer.write(shown)
    sys.stdout.flush()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


main()
