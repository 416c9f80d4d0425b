"""A node in a process of its own, without the command line, which takes longer to start: `node.py FILE NAME FUNCTION`."""

import sys
import threading

from coterie import Runtime
from coterie.network import NetworkTransport, Topology
from tests.network import people


def main() -> None:
    file, name, function = sys.argv[1:]
    network = NetworkTransport(Topology.load(file), name, admit=False)
    with Runtime(name, transport=network) as runtime:
        getattr(people, function)(runtime, network)
        network.admit()
        sys.stdout.write(f"node {name} ({runtime.node}) is ready\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
