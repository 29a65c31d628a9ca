import subprocess
import time

EXIT_SUCCESS = 0


def run(cmd, expectedcode=EXIT_SUCCESS, raiseOnError=True, outputpaths=None, env=None, **_):
    """Runs a command: {"retout": [lines], "reterr": [lines], "code": n, "fileouts": {path: bytes}, "timing": {"t0", "t1"}}, lines as bytes."""
    t0 = time.time()
    done = subprocess.run(cmd, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    t1 = time.time()
    if raiseOnError and expectedcode is not None and done.returncode != expectedcode:
        raise Exception(f"Command: {cmd} returned {done.returncode}, expected {expectedcode}, output {done.stdout!r}, stderr {done.stderr!r}")
    fileouts = {}
    for path in [outputpaths] if isinstance(outputpaths, str) else outputpaths or []:
        with open(path, "rb") as f:
            fileouts[path] = f.read()
    return {
        "retout": done.stdout.splitlines(keepends=True),
        "reterr": done.stderr.splitlines(keepends=True),
        "code": done.returncode,
        "fileouts": fileouts,
        "timing": {"t0": t0, "t1": t1},
    }
