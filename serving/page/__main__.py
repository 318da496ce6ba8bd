"""`python -m serving.page`: fetch the page's two npm libraries; quick where nothing changed."""

from __future__ import annotations

import sys

from serving.errors import SetupError
from serving.page import libraries


def main() -> int:
    """Fetch, and say in one line what stands there now."""
    try:
        fetched = libraries.fetch()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    names = " and ".join(f"{name} {version}" for name, version in libraries.versions().items())
    print(f"Chat page: {'fetched' if fetched else 'has'} {names}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
