"""Reading weights out of live models and files, without building a model or importing a backend."""
