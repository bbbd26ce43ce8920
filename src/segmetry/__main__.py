"""``python -m segmetry`` is the command ``segmetry``."""

from segmetry.cli import entry

if __name__ == "__main__":
    entry()
