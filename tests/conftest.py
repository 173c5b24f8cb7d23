"""What has to hold before any test module is imported."""

import os
from pathlib import Path

from hypothesis import settings

# The images that the catalog names; moto reads the file when its EC2 part is imported.
AMIS = Path(__file__).parents[1] / "src" / "rehost" / "providers" / "sandbox" / "data" / "amis.json"
os.environ["MOTO_AMIS_PATH"] = str(AMIS)

# What the operator of this machine works with is nothing to tests.
for name in ("REHOST_STATE", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
    os.environ.pop(name, None)
os.environ["REHOST_CACHE_DIR"] = os.devnull

# A change is judged by what it did, not by the examples of the day; `--hypothesis-profile explore` draws new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile("repeatable")
