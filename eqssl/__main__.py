"""`python -m eqssl`, the same as the command `eqssl`."""

from eqssl.cli import main

raise SystemExit(main())
