"""`python -m loadtest`."""

from gevent import monkey

monkey.patch_all()  # before anything imports sockets or locks: Locust's users are greenlets

import sys  # noqa: E402

from loadtest.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
