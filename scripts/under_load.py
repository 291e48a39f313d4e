"""Run a command while one busy loop for each processor keeps the machine slow: python scripts/under_load.py COMMAND ...

What holds on a slow machine must not hold by the clock: `make busy` proves it for the chapters that train.
"""

import os
import subprocess
import sys

# each ends when the process that started it has ended, however that happened
LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"


def main(command: list[str]) -> int:
    """The exit code of the command."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid())]) for _ in range(os.cpu_count())]
    try:
        return subprocess.run(command).returncode
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
