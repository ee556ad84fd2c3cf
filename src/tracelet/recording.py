"""What can be logged to a run: each `log_*`, and what captures call beneath it."""
