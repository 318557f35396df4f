"""`python -m taut` is `taut`."""

from taut.faces.cli import main

main()
