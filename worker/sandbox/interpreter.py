# Run once, unconfined, by the interpreter the user chose: says what it is and
# which files it needs. Prints one JSON object.
import importlib.util
import json
import os
import platform
import sys

OPTIONAL = "numpy scipy sympy networkx pandas sortedcontainers more_itertools gmpy2 numba".split()

packages = {}
for name in OPTIONAL:
    try:
        if importlib.util.find_spec(name) is None:
            continue
        from importlib import metadata

        packages[name] = metadata.version(name)
    except Exception:
        packages[name] = "unknown"

numpy_error = ""
if "numpy" in packages:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        import numpy

        # What is left of one that was removed imports as well, as an empty module.
        numpy.random, numpy.generic, numpy.ndarray
    except BaseException as e:
        numpy_error = "%s: %s" % (type(e).__name__, e)
        del packages["numpy"]

import ctypes  # noqa: E402, F401
import decimal  # noqa: E402, F401
import hashlib  # noqa: E402, F401
import zlib  # noqa: E402, F401

mapped = set()
for line in open("/proc/self/maps", errors="surrogateescape"):
    fields = line.rstrip("\n").split(None, 5)
    if len(fields) == 6 and fields[5].startswith("/") and os.path.isfile(fields[5]):
        mapped.add(fields[5])

json.dump(
    {
        "executable": os.path.realpath("/proc/self/exe"),
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "version_info": list(sys.version_info[:2]),
        "build": sys.version,
        "prefixes": sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}),
        "path": [os.path.abspath(p) for p in sys.path if p and os.path.isdir(p)],
        "mapped": sorted(mapped),
        "packages": packages,
        "numpy_error": numpy_error,
    },
    sys.stdout,
)
