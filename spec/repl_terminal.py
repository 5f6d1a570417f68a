"""repl_terminal.py - drives a program in a terminal: repl_terminal.py [WAIT-FOR KEYS]... -- PROGRAM...

Waits for each text in turn, behind the one before, and types the keys after it (with Python's
escapes); at last waits for the end. What the terminal showed, without bells, goes to stdout; the
exit status is the program's, or 99 when a text did not come.
"""
import os
import pty
import select
import sys
import time

SECONDS = 20


class Terminal:
    def __init__(self, fd):
        self.fd = fd
        self.shown = b""
        self.place = 0
        self.over = False
        self.end = time.time() + SECONDS

    def read_more(self):
        ready, _, _ = select.select([self.fd], [], [], max(0, self.end - time.time()))
        if not ready:
            return False
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # EIO: the other end is closed
            more = b""
        self.over = not more
        self.shown += more.replace(b"\a", b"")
        return bool(more)

    def wait_for(self, text):
        while True:
            at = self.shown.find(text, self.place)
            if at >= 0:
                self.place = at + len(text)
                return True
            if not self.read_more():
                return False


def main():
    split = sys.argv.index("--")
    steps, program = sys.argv[1:split], sys.argv[split + 1 :]
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(program[0], program)
    terminal = Terminal(fd)
    for text, keys in zip(steps[::2], steps[1::2]):
        if not terminal.wait_for(text.encode()):
            sys.stdout.buffer.write(terminal.shown + b"\n*** did not come: " + text.encode() + b"\n")
            sys.exit(99)
        os.write(fd, keys.encode().decode("unicode_escape").encode("latin-1"))
    while terminal.read_more():
        pass
    sys.stdout.buffer.write(terminal.shown)
    sys.stdout.flush()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if terminal.over else 99)


main()
