"""ocrd: a background daemon that turns dropped pictures and PDFs into text, locally."""


def __getattr__(name: str) -> str:
    # Looked up only when asked for: importlib.metadata takes longer to import than `ocrd --help`
    # may.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("deepseek-ocrd")
        except PackageNotFoundError:  # a source tree that was never installed
            return "0+unknown"
    raise AttributeError(name)
