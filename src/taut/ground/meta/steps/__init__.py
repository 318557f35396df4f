"""What a migration does that SQL cannot: a module for each, called where the `.sql` file says `{python NAME}`."""
