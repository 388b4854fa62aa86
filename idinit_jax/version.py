"""The version of the package, readable without importing JAX."""

VERSION = "0.1.0"
