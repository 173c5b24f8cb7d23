"""Files to Stack: everything that is wrong is found in one run, each finding with its place."""

from rehost.stacks.load.loaded import Loaded
from rehost.stacks.load.loader import find_stack_files, load, load_text, several_files

__all__ = ["Loaded", "find_stack_files", "load", "load_text", "several_files"]
