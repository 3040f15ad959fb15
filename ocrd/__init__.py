"""ocrd: a background daemon that turns dropped pictures and PDFs into text, locally."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("deepseek-ocrd")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
