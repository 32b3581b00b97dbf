"""``python -m art_crop``: the command ``art-crop``, also where scripts are not on the path."""

from art_crop.cli.main import main

if __name__ == "__main__":
    main()
