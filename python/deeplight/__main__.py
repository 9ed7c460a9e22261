"""``python -m deeplight`` is the command line."""

from deeplight.cli import main

main()
