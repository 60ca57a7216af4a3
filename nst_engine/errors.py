"""The one exception that is meant for the user's eyes."""


class NSTError(ValueError):
    """Something the user gave cannot be used; the message names it, says what was given and what would do."""
