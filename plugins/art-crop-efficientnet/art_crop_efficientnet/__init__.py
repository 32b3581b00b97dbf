"""EfficientNet-Lite0, trained on ImageNet, as a classifier for art_crop."""
