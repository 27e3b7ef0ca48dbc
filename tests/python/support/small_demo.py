"""The size of the demonstration that end-to-end tests share."""

from __future__ import annotations

PROGRAMME = "family_safeguarding"
SMALL = {"programme": PROGRAMME, "scale": 0.1, "n_authorities": 14}
