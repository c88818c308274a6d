"""The package's own warning."""


class StepwiseWarning(UserWarning):
    """Something went differently from what was asked; the text says what to do.

    Filter it like any other warning, for example
    ``warnings.simplefilter("error", sk_dlsteps.StepwiseWarning)``.
    """
