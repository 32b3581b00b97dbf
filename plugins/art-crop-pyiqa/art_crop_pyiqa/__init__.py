"""pyiqa's no-reference metrics for art_crop."""
