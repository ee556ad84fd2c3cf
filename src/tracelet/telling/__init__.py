"""What a user is told of a run: a line at its start, what became of it, how far a wait is, a card.

    words     how counts, times and deliveries read
    messages  the lines at a run's start and end; on stderr where nobody has configured logging
    summary   what `stop_logging` returns
    waiting   how far the deliveries are that somebody waits for
    notebook  a run as HTML

Everything is said by the logger `tracelet`, the start and a good end at INFO. Only `waiting` writes
past it, a line on a terminal that it takes away again.
"""
