"""`python -m mindcold` is the `mindcold` command."""

import sys

from mindcold.cli import main

sys.exit(main())
