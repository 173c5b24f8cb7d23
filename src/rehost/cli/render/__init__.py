"""How results are shown: text, JSON, Markdown."""
