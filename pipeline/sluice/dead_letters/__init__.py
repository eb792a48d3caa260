"""Dead letters: their envelope, their log, reading them back. No Beam."""
