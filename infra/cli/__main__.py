"""`python -m infra.cli` is the command `pocwhisp`."""

from infra.cli.app import main

main()
