"""For the tests of whoever writes a backend or a capture: real doubles, not mocks.

`tracelet.testing.memory` is a tracker in one file on disk; `tracelet.testing.faulty` is the same
tracker on a bad day.
"""
