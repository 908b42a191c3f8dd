"""`python -m infra.local` is the command `pocwhisp`."""

from infra.local.cli import main

main()
