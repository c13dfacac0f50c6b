"""A real one-node Kubernetes, built from source and run as plain processes of this machine."""
