"""One module for each resource type, or for a family of twins."""
