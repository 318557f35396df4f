"""A command run and watched: what it read and wrote, in which environment, under which seeds."""
