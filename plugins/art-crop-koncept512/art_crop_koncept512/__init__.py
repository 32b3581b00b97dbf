"""KonCept512, the quality model that was trained on KonIQ-10k, for art_crop."""
