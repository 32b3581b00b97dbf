"""The smallest complete art_crop plugin: a saliency model and a metric."""
