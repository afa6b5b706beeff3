"""Tools for authors of components: the source scan and the project template."""
