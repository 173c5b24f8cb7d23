"""`python -m plaza web | worker | digest | schema`: the parts of the platform, configured by the environment."""

from __future__ import annotations

import sys

from plaza.config import Config, Incomplete


def main() -> int:
    """Run one part; 2 for a wrong call or configuration."""
    from plaza import digest, store, web, worker

    parts = {"web": web.serve, "worker": worker.work, "digest": digest.make, "schema": store.prepare}
    if len(sys.argv) != 2 or sys.argv[1] not in parts:
        sys.stderr.write(f"usage: python -m plaza {' | '.join(parts)}\n")
        return 2
    try:
        config = Config.from_environment()
    except Incomplete as error:
        sys.stderr.write(f"plaza: {error}\n")
        return 2
    parts[sys.argv[1]](config)
    return 0


sys.exit(main())
