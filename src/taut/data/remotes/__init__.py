"""DVC's remotes: the bytes of data as they are, in a directory, a bucket or on the web, as DVC 2 and 3 lay them out."""
