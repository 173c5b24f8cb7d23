"""Programs that run on hosts, each a file by itself that needs Python 3.9 and nothing else."""
