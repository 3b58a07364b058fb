"""The version of this package, and how it introduces itself."""

__version__ = "0.1.0"

CLIENT = f"sluice-python/{__version__}"
