"""Models behind HTTP: one dialect a file, over one client that retries, limits and waits."""
