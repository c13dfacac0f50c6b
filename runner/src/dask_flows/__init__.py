"""Run ordinary Python programs on Dask, on a laptop or in Kubernetes, unchanged."""

__version__ = "0.1.0"

__all__ = ["__version__"]
