"""Emulators of trackers whose servers cannot be run here: the real clients talk to them."""
