"""The contract of a component: its declaration, base classes, configuration and examples."""
