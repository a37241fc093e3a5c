"""The one error a user is meant to read."""


class UserError(Exception):
    """Something the user can mend: names the value, what is accepted and the remedy.

    The command line prints its message as one line and exits with 1, without a traceback.
    """
