// An agent that a test of another file started in this process has changed the umask, as it does for itself.
process.umask(0o022)
