"""A small social platform: accounts, posts of up to 300 characters, pictures, a timeline."""

VERSION = "1.0"
