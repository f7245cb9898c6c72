import sys, io, json, builtins
OUTPUT, VALUE, ERROR, LIMIT, DONE = 1, 2, 3, 4, 5
PRE = "from string import *\nfrom re import *\nfrom datetime import *\nfrom collections import *\nfrom heapq import *\nfrom bisect import *\nfrom copy import *\nfrom math import *\nfrom random import *\nfrom statistics import *\nfrom itertools import *\nfrom functools import *\nfrom operator import *\nfrom io import *\nfrom sys import *\nfrom json import *\nfrom builtins import *\nfrom typing import *\nimport string\nimport re\nimport datetime\nimport collections\nimport heapq\nimport bisect\nimport copy\nimport math\nimport random\nimport statistics\nimport itertools\nimport functools\nimport operator\nimport io\nimport sys\nimport json\nsys.setrecursionlimit(50000)\n"
G = {}
class Failure(Exception):
    def __init__(self, status, payload): self.status, self.payload = status, payload
def failure_payload(e, where="load"):
    try: m = str(e)[:300]
    except BaseException: m = ""
    return json.dumps({"type": type(e).__name__, "message": m, "line": 0, "where": where, "code": -4}).encode()
def warm(mode):
    exec(PRE, G); G["__name__"] = "tmp_sol"
def needs_numpy(s): return "numpy" in s
class Out(io.StringIO):
    def write(self, s):
        self.left -= len(s)
        if self.left < 0: self.fatal(LIMIT, b"")
        return io.StringIO.write(self, s)
class Program:
    def __init__(self, func, code, g, cap, fatal): self.func, self.code, self.g, self.cap, self.fatal = func, code, g, cap, fatal
    def run(self, raw):
        if self.func:
            args = [json.loads(l) for l in raw.split("\n")]
            s = self.g.get("Solution"); f = getattr(s(), self.func) if s else self.g[self.func]
            return VALUE, json.dumps(f(*args)).encode()
        sys.stdin = io.StringIO(raw); sys.stdout = o = Out(); o.left, o.fatal = self.cap, self.fatal
        try: exec(self.code, self.g)
        except SystemExit: pass
        except BaseException as e: return ERROR, failure_payload(e, "test")
        return OUTPUT, o.getvalue().encode("utf-8", "surrogatepass")
class Script:
    def __init__(self, code): self.code = code
    def run(self, raw):
        try: exec(self.code, {"__name__": "__main__", "__builtins__": builtins}); sys.stdout.flush()
        except SystemExit: sys.stdout.flush()
        except BaseException as e: return ERROR, failure_payload(e, "test")
        return DONE, b""
def load(mode, func, source, cap, fatal):
    try:
        code = compile(source, "<program>", "exec"); g = G
        if mode == "script" and not func: return Script(code)
        if func: exec(code, g)
    except BaseException as e: raise Failure(ERROR, failure_payload(e))
    return Program(func, code, g, cap, fatal)
