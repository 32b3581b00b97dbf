"""Where the models' weight files are published, and their hashes. Addresses name commits, so they cannot change."""

from __future__ import annotations

from art_crop.models.weights import WeightFile

__all__ = ["ATTENTION_CENTER", "NIMA_AESTHETIC", "NIMA_TECHNICAL"]

ATTENTION_CENTER = WeightFile(
    name="attention-center",
    file_name="attention_center.tflite",
    url="https://raw.githubusercontent.com/google/attention-center/"
    "919b5d99d1037dcb682f8632b6b519b88b95bc94/model/center.tflite",
    sha256="8968fe8266a305c356334a1dcd5c58541b58be916decd32c55c6f51fe65273de",
    size=2_111_740,
    licence="Apache-2.0",
    environment_variable="ART_CROP_ATTENTION_CENTER",
)

NIMA_AESTHETIC = WeightFile(
    name="nima-aesthetic",
    file_name="nima_aesthetic.tflite",
    url="https://raw.githubusercontent.com/MichaelLedger/image-quality-assessment-exercise/"
    "db0a65ad26586e58ffd1293b0780e0dd1e52634d/TensorFlow-Lite-implementation-of-Google-NIMA/aesthetic_model.tflite",
    sha256="fb110d0f14deab549e14b5ac9a89218b31aeb369ee4b98407e4e74f2d768739f",
    size=3_390_960,
    licence="Apache-2.0",
    environment_variable="ART_CROP_NIMA_AESTHETIC",
)

NIMA_TECHNICAL = WeightFile(
    name="nima-technical",
    file_name="nima_technical.tflite",
    url="https://raw.githubusercontent.com/MichaelLedger/image-quality-assessment-exercise/"
    "db0a65ad26586e58ffd1293b0780e0dd1e52634d/TensorFlow-Lite-implementation-of-Google-NIMA/technical_model.tflite",
    sha256="c5ed895dcd58ac0e23b9057118c184cd3a9ee78182547ac8ebaf7492ab9f52f2",
    size=3_391_248,
    licence="Apache-2.0",
    environment_variable="ART_CROP_NIMA_TECHNICAL",
)
