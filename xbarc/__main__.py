"""``python -m xbarc``: the command ``xbarc``."""

from __future__ import annotations

from xbarc.cli.main import main

if __name__ == "__main__":
    main()
