"""The dead-letter queues: where they are, what lies in them, moving it back or deleting it."""
