"""What made the embedded weights, usable by anybody."""
