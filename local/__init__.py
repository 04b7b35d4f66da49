"""The embedded AWS: runs the deployed templates on this machine, without an account."""
