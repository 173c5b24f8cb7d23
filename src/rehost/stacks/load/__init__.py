"""Files to Stack: everything that is wrong is found in one run, each finding with its place."""

from rehost.stacks.load.loader import Loaded, find_stack_file, load

__all__ = ["Loaded", "find_stack_file", "load"]
