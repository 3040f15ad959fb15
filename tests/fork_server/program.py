"""A program for the tests of the servers: it describes itself, or ends as its argument says."""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    match sys.argv[1]:
        case "describe":
            print(json.dumps(description()))
        case "exit":
            sys.exit(int(sys.argv[2]))
        case "raise":
            raise ValueError("for a test")
        case "wait":
            print(os.getpid(), file=sys.stderr, flush=True)
            time.sleep(60)
        case name:
            os.kill(os.getpid(), signal.Signals[name])


def description() -> dict[str, object]:
    handlers = [signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP]
    return {
        "arguments": sys.argv,
        "variables": sorted(os.environ.items()),
        "folder": str(Path.cwd()),
        "descriptors": sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir()),
        "signals": [str(signal.getsignal(number)) for number in handlers],
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "main": sys.modules["__main__"].__name__,
    }


if __name__ == "__main__":
    main()
