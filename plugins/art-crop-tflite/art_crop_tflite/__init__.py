"""TensorFlow Lite files as differentiable torch models, without TensorFlow."""

__version__ = "0.1.0"
