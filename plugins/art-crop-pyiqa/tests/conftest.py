"""Before anything is imported: Hugging Face's client tries for most of a minute unless it is told to stay offline."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
