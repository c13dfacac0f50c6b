"""A soak: runs keep coming, faults happen at random, and at the end everything must add up."""
