"""`python -m indiaai_core` is the script `indiaai` of this very Python, also where its folder is not on the path."""

from __future__ import annotations

from indiaai_core.cli import main

if __name__ == "__main__":
    main()
