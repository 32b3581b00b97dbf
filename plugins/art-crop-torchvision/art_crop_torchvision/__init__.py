"""torchvision's classifiers for art_crop."""
