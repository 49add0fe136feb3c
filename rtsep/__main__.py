"""`python -m rtsep` is `rtsep`."""

from rtsep.cli.main import main

raise SystemExit(main())
