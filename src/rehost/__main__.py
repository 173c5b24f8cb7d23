"""`python -m rehost`."""

from rehost.cli.main import main

main()
