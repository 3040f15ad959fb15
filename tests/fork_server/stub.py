"""A worker in the process tree, while the worker itself is forked by a server.

Run as ``python -I -S stub.py SOCKET DESCRIPTORS PYTHON -P -m MODULE ARGUMENTS``, where DESCRIPTORS
are those beyond the standard ones, separated by commas. It ends as the worker ends, and the worker
ends when this process is killed. It imports as little as it can: 15 ms.
"""

import json
import os
import signal
import socket
import sys


def main() -> None:
    path, numbers, *argv = sys.argv[1:]
    descriptors = [0, 1, 2, *(int(number) for number in numbers.split(",") if number)]
    request = {
        "module": argv[3],
        "arguments": argv[3:],
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib takes longer to import than all of this
        "descriptors": descriptors,
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(path)
        socket.send_fds(server, [json.dumps(request).encode()], descriptors)
        answer = json.loads(server.recv(1000) or b"{}")
        if "real" in answer:
            os.execv(argv[0], argv)
        # The pipes stay open here too, so that they close when this process ends: a daemon that
        # finds its worker's pipe closed waits only a moment for the exit code.
        status = json.loads(server.recv(1000) or b'{"status": 9}')["status"]
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)


if __name__ == "__main__":
    main()
