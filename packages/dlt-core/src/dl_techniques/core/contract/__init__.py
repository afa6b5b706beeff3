"""What a component is: its declaration, base classes, configuration and examples."""
