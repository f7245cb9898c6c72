# Imports every module of the standard library and of numpy, the official runner's way:
# its modules loaded, its preamble run, its guard up (lcb_runner at 28fef95).
# Usage: imports.py PROCESSES. That many processes share the standard library's packages,
# 0 for a process for each; numpy has one of its own. Prints one JSON object: the modules
# of each process, and what became of each.
import ast
import builtins
import faulthandler
import json
import multiprocessing
import os
import platform
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
import unittest.mock
from concurrent.futures import ProcessPoolExecutor

try:
    import numpy
except ImportError:
    numpy = None

STARRED = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json"
).split()
BLOCKED = (
    "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate replace "
    "unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir"
).split()
# Modules that do something when they are imported: a demo, a browser, a test's main.
LEFT_OUT = {"antigravity", "__main__", "tests", "test"}

PROGRAM = """
import importlib
for name in input().split():
    try:
        importlib.import_module(name)
        print("@", name, "ok")
    except BaseException as e:
        print("@", name, type(e).__name__)
"""


def submodules(name, path):
    for info in pkgutil.iter_modules(path):
        if info.name in LEFT_OUT or info.name.startswith("test_"):
            continue
        full = name + "." + info.name
        yield full
        if info.ispkg:
            yield from submodules(full, [os.path.join(info.module_finder.path, info.name)])


def packages():
    names = sorted(set(sys.stdlib_module_names) - LEFT_OUT) + (["numpy"] if numpy else [])
    for name in names:
        spec = None
        try:
            spec = __import__("importlib.util").util.find_spec(name)
        except (ImportError, ValueError):
            pass
        path = spec.submodule_search_locations if spec else None
        yield name, [name] + sorted(submodules(name, path or ()))


def guard():
    faulthandler.disable()
    builtins.quit = builtins.help = None
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in BLOCKED:
        setattr(os, name, None)
    shutil.rmtree = shutil.move = shutil.chown = subprocess.Popen = None
    for name in "ipdb joblib resource psutil tkinter".split():
        sys.modules[name] = None


def official(names):
    """Return the lines that PROGRAM prints under the official runner's conditions."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        leave = os._exit
        os.close(read)
        for fd in 0, 1, 2:
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
        guard()
        out = os.fdopen(write, "w")
        sys.stdout = unittest.mock.Mock(wraps=out)
        sys.stdout.write = out.write
        sys.stdin = __import__("io").StringIO(" ".join(names) + "\n")
        module = {"__name__": "tmp_sol"}
        exec("".join("from %s import *\n" % m for m in STARRED + ["builtins", "typing"]), module)
        exec("".join("import %s\n" % m for m in STARRED), module)
        builtins.open = unittest.mock.mock_open(read_data=" ".join(names) + "\n")
        exec(PROGRAM, module)
        out.flush()
        leave(0)
    os.close(write)
    with os.fdopen(read) as f:
        lines = f.read()
    os.waitpid(pid, 0)
    return lines


found, processes = {}, int(sys.argv[1])
for i, (package, modules) in enumerate(packages()):
    key = package if package == "numpy" or not processes else str(i % processes)
    found.setdefault(key, []).extend(modules)
json.dump({"program": PROGRAM, "batches": found, "official": {k: official(v) for k, v in found.items()}}, sys.stdout)
