"""`python -m cluster.rehearsal.kubelet CONFIG.json`: runs until it is told to end."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path

from cluster.errors import Refused
from cluster.rehearsal.kubelet.config import Config
from cluster.rehearsal.kubelet.machine.network import NetworkFailed
from cluster.rehearsal.kubelet.service import Kubelet


def main() -> int:
    """Exit code 0 after a TERM or an interrupt, 2 where it could not start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s: %(message)s")
    # Every pod has a thread of its own; connections beyond the client's pool are opened and closed, which is fine.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    if len(sys.argv) != 2:
        print("usage: python -m cluster.rehearsal.kubelet CONFIG.json", file=sys.stderr)
        return 2
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    try:
        kubelet = Kubelet(Config.read(Path(sys.argv[1])))
    except (Refused, NetworkFailed, OSError) as error:
        print(f"The process kubelet cannot start: {error}", file=sys.stderr)
        return 2
    kubelet.start()
    end.wait()
    kubelet.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
