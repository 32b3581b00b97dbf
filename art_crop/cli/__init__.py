"""The command ``art-crop``, one file per command. Help and listings import neither torch nor ART."""
