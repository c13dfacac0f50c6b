"""What makes the cluster of an ephemeral attempt; one module per way of doing it."""
