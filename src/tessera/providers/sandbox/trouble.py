"""What can be wrong with a media file that somebody gave us. Nothing heavy is imported here: a parent may catch it."""


class BadMediaError(ValueError):
    """This file is no sound or film that can be read, or it is beyond the bounds; the text says which."""
