"""What other libraries are handed, one file each; it is imported by users who have the library."""
