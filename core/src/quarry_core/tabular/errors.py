"""The error for a source that cannot be used, whatever its format."""


class SourceError(ValueError):
    """A source that cannot be used as it is; the message names the place and the remedy."""
