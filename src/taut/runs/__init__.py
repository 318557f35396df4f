"""dataset version -> run: one execution of a command, with all that it takes to repeat and to judge it."""
