"""Small models trained here: definitions, the command that trains them, and loading of the weights in ``assets/``."""
