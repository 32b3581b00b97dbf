"""Where the known datasets come from, under which terms, and how a copy is known to be the published one.

Hashes are those that the publishers or several independent users of the files give; of OSIE, that of the files
themselves. One that nobody states is not made up: such a dataset is opened by path only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from art_crop.downloads import RemoteFile
from art_crop.errors import InvalidInputError

__all__ = ["BSDS500", "CAT2000", "KODAK", "KONIQ10K", "OSIE", "PLACES365", "DatasetSource", "Part"]

_GIB = 1 << 30
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Part:
    """One file of a source.

    Attributes:
        file: What is downloaded.
        keep: Of an archive, what of it is unpacked: patterns in which ``*`` stands for one whole or part of a name
            between slashes, each with how many leading folders are dropped. Empty: the file itself is kept.
    """

    file: RemoteFile
    keep: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class DatasetSource:
    """Where a dataset is got; what ``art-crop datasets fetch`` goes by.

    Attributes:
        name: The dataset's name.
        page: Where its authors, or who hosts it, describe it.
        parts: What is downloaded; empty where it cannot be.
        contents: SHA-256 of what ``sha256sum`` prints for all kept files in the order of their names; needed where a
            part has no hash of its own.
        terms: What its publishers ask of who downloads it and is to be accepted first; empty: nothing.
        by_hand: Why it is not downloaded automatically; empty: it is.
    """

    name: str
    page: str
    parts: tuple[Part, ...] = ()
    contents: str = ""
    terms: str = ""
    by_hand: str = ""

    def __post_init__(self) -> None:
        """Refuse a record by which something unchecked would be downloaded, or put in a wrong place."""
        if not _NAME.fullmatch(self.name):
            raise InvalidInputError(
                f"DatasetSource: name must be lower-case words joined by hyphens, not {self.name!r}"
            )
        if not self.contents and not all(part.file.known_hash for part in self.parts):
            raise InvalidInputError(f"DatasetSource {self.name!r}: a part without known_hash needs contents")

    @property
    def how(self) -> str:
        """How to get it, as a half sentence for listings."""
        accept = " --accept-terms" if self.terms else ""
        if not self.by_hand:
            return f"run `art-crop datasets fetch {self.name}{accept}`"
        if not self.parts:
            return f"by hand ({self.by_hand}) from {self.page}"
        file = self.parts[0].file
        then = f"`art-crop datasets fetch {self.name}{accept} --from {file.name}`"
        return f"by hand ({self.by_hand}) from {file.url}, then {then}"

    @property
    def cure(self) -> str:
        """The same for errors: a folder of the user's own is always another way."""
        begin = "" if not self.by_hand else "get it "
        return f"{begin}{self.how}, or name the folder that holds it (root=DIR; for suites --images DIR)"

    def incomplete(self, what: str) -> InvalidInputError:
        """The error for a folder without what the dataset needs; ``what`` begins with "root must"."""
        return InvalidInputError(f"{what}; {self.cure}")


_KODAK_PHOTOS = (
    ("a56e27cbf5f843c048b6af1d6e090760e9c92fadba88b7dee0205918a37523bd", 736_501),
    ("4f4b74a79237e311d72cad958237b5f7088d8bce1c82305ebefe1a70e3022dfd", 617_995),
    ("e25ca1ff2f0c0cb5fdfd5f9b0a0bb21ac4c3de3c84a67f35b09a85d3306249db", 502_888),
    ("e3b946107c5d3441c022f678d0c3caf1e224d81b1604ba840a4f88e562de61aa", 637_432),
    ("10349e963c5c813d327852f82c1795fa4148d69fedffc4c589bee458e3ac3d53", 785_610),
    ("363510303b715d4cbc384e1ce227e466b613a09e1b71ae985882bf8e7fbd9b18", 618_959),
    ("b77d3f006f42414bb242222e0482e750c0fb9e5ee8d4bed2f6f11c5605fe54a4", 566_322),
    ("ba23983c76b4832ee0e8af0592664756841a16779acd69f792e268fb6d13d6e7", 788_470),
    ("6a4361c2fc194feb4edaa9f9a4a0620fb9943e460ac7fdf037fb0f6dd6607a7d", 582_899),
    ("9dfb70f5867c29ff9ed6313683f19b3d867849e40fbc0c4c54a4a89df341cf23", 593_463),
    ("7936814b58b5387fce2e4e2488b4ec830dadd95fa9520f358ddb30990b50f2b6", 621_023),
    ("d78c37c2f04f23761ed2367dd77e2db584ddd4c3950833fecf89f199a8126980", 531_024),
    ("bc34a3ce58dea09dce1704c997171602de90cb34d0c8503a988b77f473d39b08", 822_712),
    ("55a94550ff18f3246c4074fd32b77b0c74447c26b6ad274d564d999c0450ba6e", 692_201),
    ("7538cbb80cb9103606c48b806eae57d56c885c7f90b9b3be70a41160f9cbb683", 612_582),
    ("a89c7268ccd4718ba424a99fc4643c572cf692ca6eae887185ceb4e9f11d2e54", 534_247),
    ("37afcc89fbdcb76d9518e04b2fc011027e2f4cd14b3b2f83cefd721641a47c5b", 602_078),
    ("1a9258c365988961d87a0598725b609139c303ad48a5aad6c503c3b1a87849aa", 780_947),
    ("b7450b264b1b0a411390d8931b112c27905a992520fc90569dc4b920aa32bbdc", 671_476),
    ("3b46c71e3b92a563820ba32936be8330c586c41f938efd94be938386aae4328a", 492_462),
    ("ac958597c82073f6bb65129c68f72b651db5b9efd82e11547d07350214bc268b", 637_051),
    ("1cee58eb1f2d9c7ebb254d208a03c783ce6cf2c4d8c2cf45e235dd23b4ce1b29", 701_970),
    ("e3111a2fd4da24af15d6459ef9eacfe54106b38e27b4a21821b75c3f5d2d5baf", 557_596),
    ("1071c68372cc5a01435c2c225a5cf7d4bb803846ec08bb6b3d6721b156d7cb96", 706_397),
)

KODAK = DatasetSource(
    name="kodak",
    page="https://r0k.us/graphics/kodak/",
    parts=tuple(
        Part(
            RemoteFile(
                f"kodim{number:02}.png",
                f"https://r0k.us/graphics/kodak/kodak/kodim{number:02}.png",
                f"sha256:{digest}",
                size,
            )
        )
        for number, (digest, size) in enumerate(_KODAK_PHOTOS, 1)
    ),
)

BSDS500 = DatasetSource(
    name="bsds500",
    page="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
    parts=(
        Part(
            RemoteFile(
                "BSR_bsds500.tgz",
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz",
                "sha256:97e49d31764f3912f0c4122707d53062ac9e783ba0f095e447a4d53c1a41af8e",
                70_763_455,
            ),
            keep=(("BSR/BSDS500/data/images/*/*.jpg", 4),),
        ),
    ),
    terms="for non-commercial research and education only",
)

_OSIE_COMMIT = "63223a0dba3b521861cb7f356ad13400ef4b3d03"

OSIE = DatasetSource(
    name="osie",
    page="https://github.com/NUS-VIP/predicting-human-gaze-beyond-pixels",
    parts=(
        Part(
            # GitHub packs archives anew when it likes, so that only what is inside can be known.
            RemoteFile(
                f"{_OSIE_COMMIT}.tar.gz",
                f"https://github.com/NUS-VIP/predicting-human-gaze-beyond-pixels/archive/{_OSIE_COMMIT}.tar.gz",
                "",
                2 * _GIB,
                exact=False,
            ),
            keep=(("*/data/stimuli/*.jpg", 2), ("*/data/eye/fixations.mat", 3)),
        ),
    ),
    contents="5d2b772dcb26cbf9a75ede251ae689cea0025634dbc46a348437e7511aa6641f",
)

CAT2000 = DatasetSource(
    name="cat2000",
    page="http://saliency.mit.edu/datasets.html",
    parts=(
        Part(
            RemoteFile(
                "trainSet.zip",
                "http://saliency.mit.edu/trainSet.zip",
                "md5:56ad5c77e6c8f72ed9ef2901628d6e48",
                8 * _GIB,
                exact=False,
            ),
            keep=(("trainSet/Stimuli/*/*.jpg", 1), ("trainSet/FIXATIONLOCS/*/*.mat", 1)),
        ),
    ),
    by_hand="its server has no HTTPS",
)

KONIQ10K = DatasetSource(
    name="koniq-10k",
    page="https://database.mmsp-kn.de/koniq-10k-database.html",
    by_hand="no checksum of it is published",
)

_PLACES = "https://data.csail.mit.edu/places/places365"

PLACES365 = DatasetSource(
    name="places365",
    page="http://places2.csail.mit.edu/download.html",
    parts=(
        Part(
            RemoteFile(
                "filelist_places365-standard.tar",
                f"{_PLACES}/filelist_places365-standard.tar",
                "sha256:520699e00d69b63ddc29fac54645aa00ce1c10ca42e288960aa1cf791d6e9aa9",
                67_498_496,
            ),
            keep=(("categories_places365.txt", 0), ("places365_val.txt", 0)),
        ),
        Part(
            RemoteFile(
                "val_256.tar",
                f"{_PLACES}/val_256.tar",
                "sha256:24b4e639ef12a0012af525bc4cb443e4ab4aaea8369a1fb009b70e4a4aad5d48",
                525_158_400,
            ),
            keep=(("val_256/*.jpg", 0),),
        ),
    ),
    terms="for research and education only; the photos belong to their owners and are not to be passed on",
)
