"""Architectures, weight files and the pipeline of a deployed cropper around them."""
