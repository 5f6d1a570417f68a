"""Runs a command as a shell with a terminal does, and prints what the shell is told of it.

  job_control.py COMMAND...      COMMAND runs a program that copies its input, as cat does

A line is typed, then Ctrl-Z; the job is continued, another line is typed, then Ctrl-C.
"""

import os
import pty
import signal
import sys


def told(status):
    if os.WIFSTOPPED(status):
        return "stopped by %d" % os.WSTOPSIG(status)
    if os.WIFSIGNALED(status):
        return "ended by %d" % os.WTERMSIG(status)
    return "exit %d" % os.WEXITSTATUS(status)


def start(command):
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(command[0], command)
    return pid


def shell(command, tell):
    """Of the terminal: starts the job, continues it when it is stopped."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    pid = start(command)
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        os.tcsetpgrp(0, os.getpgrp())
        os.write(tell, (told(status) + "\n").encode())
        if not os.WIFSTOPPED(status):
            return
        os.tcsetpgrp(0, pid)
        os.kill(-pid, signal.SIGCONT)


def read_until(fd, wanted):
    seen = b""
    while wanted not in seen:
        seen += os.read(fd, 1000)


def main(command):
    ours, theirs = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        shell(command, theirs)
        os._exit(0)
    os.close(theirs)
    news = os.fdopen(ours)
    for line, key in (b"one", b"\x1a"), (b"two", b"\x03"):
        os.write(terminal, line + b"\n")
        read_until(terminal, line + b"\r\n" + line)  # the terminal's echo, then the program's
        os.write(terminal, key)
        print(news.readline(), end="")
    os.waitpid(pid, 0)


main(sys.argv[1:])
