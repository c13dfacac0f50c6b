"""Programs that write and check generated files; each runs as a script."""
