"""One module for each family of resource types."""
