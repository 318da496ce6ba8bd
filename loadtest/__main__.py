"""`python -m loadtest`."""

from gevent import monkey

monkey.patch_all()  # before anything imports sockets or locks: Locust's users are greenlets

import os  # noqa: E402
import sys  # noqa: E402

from loadtest.cli import main  # noqa: E402

code = main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # not sys.exit: Python 3.10 ends logging after gevent's locks are gone, with a traceback for the user
