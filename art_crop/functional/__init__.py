"""Pure torch functions, without state and without ART: one file per subject."""
