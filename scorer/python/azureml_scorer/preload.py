"""The process that workers are forked from: it runs ``init()`` once, and they share its memory.

Orders come over standard input, a socket: ``F`` with the socket of a new worker, ``R`` with the id of one that has ended.
Each is answered with a process id.
"""

import gc
import os
import socket
import sys

from azureml_scorer import _core, worker


def main():
    orders = socket.socket(fileno=os.dup(0))
    watched = os.dup(0)
    worker.leave_stdin()
    _core.die_with_parent(watched)
    script, started = worker.prepare(lambda text: orders.sendall(_frame(text)))
    orders.sendall(_frame(started))
    # Collections of garbage would write to the memory that is shared.
    gc.collect()
    gc.freeze()
    while True:
        order, descriptors, _flags, _address = socket.recv_fds(orders, 5, 1)
        if not order:
            return
        if order[:1] == b"F":
            pid = os.fork()
            if pid == 0:
                orders.close()
                os.close(watched)
                os.setpgid(0, 0)
                worker.serve(_core.Worker(descriptors[0]), script, started)
                sys.stdout.flush()
                os._exit(0)
            os.close(descriptors[0])
        else:
            pid = int.from_bytes(order[1:], "little")
            os.waitpid(pid, 0)
        orders.sendall(pid.to_bytes(4, "little"))


def _frame(text):
    """Row 0, a header and no body."""
    content = text.encode()
    return bytes(8) + len(content).to_bytes(8, "big") + bytes(8) + content


if __name__ == "__main__":
    main()
