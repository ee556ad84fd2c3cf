"""What tracelet costs, measured beside what one would use instead; `README.md` says how to read it."""
