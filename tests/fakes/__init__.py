"""Stand-ins for the world outside, with its rules: see each module."""
