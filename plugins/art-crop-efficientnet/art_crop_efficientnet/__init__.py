"""EfficientNet-Lite0 to Lite2, trained on ImageNet, as classifiers for art_crop."""
