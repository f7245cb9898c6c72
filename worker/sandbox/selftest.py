# Run by Probe in the sandbox it is about to trust. The input names what must be
# out of reach; each thing reached, and each file missing, is printed.
import os
import posix
import sys


def reach(name, action):
    try:
        action()
    except (OSError, ImportError, AttributeError):
        return
    print("reached", name)


def connect():
    import _socket

    # Sends nothing. Without a network not even the route is there.
    _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).connect(("127.0.0.1", 9))


def fork():
    if posix.fork() == 0:
        os._exit(0)


def write():
    os.close(os.open("/lcbq-selftest", os.O_WRONLY | os.O_CREAT))


def kill():
    posix.kill(os.getppid() or os.getpid(), 0)


TRIES = {
    "files": lambda: open("/etc/passwd"),
    "kernel": lambda: open("/proc/self/status"),
    "writing": write,
    "network": connect,
    "processes": fork,
    "signals": kill,
    "programs": lambda: posix.execv("/bin/true", ["true"]),
}
for name in input().split():
    reach(name, TRIES[name])
for path in sys.path:
    try:
        os.listdir(path)
    except OSError as e:
        print("missing", path, e)
# One that nothing has imported yet.
import colorsys  # noqa: E402, F401

print("done")
