"""What has to hold before any test module is imported."""

import os
from pathlib import Path

# The images that the catalog names; moto reads the file when its EC2 part is imported.
AMIS = Path(__file__).parents[1] / "src" / "rehost" / "providers" / "sandbox" / "data" / "amis.json"
os.environ["MOTO_AMIS_PATH"] = str(AMIS)
