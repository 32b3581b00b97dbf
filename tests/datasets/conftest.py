"""Small trees in the true layout of sets that tests cannot have, and a web server on this machine."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from art_crop.datasets.cat2000 import CATEGORIES

SCORES = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore"
PLACES = [f"Places365_val_{number:08}.jpg" for number in range(1, 36_501)]
SETS = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set"


def links(original: Path, folder: Path, names: Iterable[str]) -> None:
    """Many names for one file: quick, and without a byte more."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        os.link(original, folder / name)


@pytest.fixture
def cat2000_tree(tmp_path: Path) -> Path:
    """Every photo has the fixations (x, y) = (4, 2) and (1919, 1079), Sketch/003 also (700, 500)."""
    marks = np.zeros((1080, 1920), np.uint8)
    marks[2, 4] = marks[1079, 1919] = 1
    photo, table = tmp_path / "photo.jpg", tmp_path / "table.mat"
    Image.new("RGB", (1920, 1080), "teal").save(photo)
    savemat(table, {"fixLocs": marks}, do_compression=True)
    base = tmp_path / "CAT2000" / "trainSet"
    for category in CATEGORIES:
        stems = [f"{number:03}" for number in range(1, 201, 2)]
        links(photo, base / "Stimuli" / category, (f"{stem}.jpg" for stem in stems))
        links(photo, base / "Stimuli" / category / "Output", ["001_SaliencyMap.jpg"])
        links(table, base / "FIXATIONLOCS" / category, (f"{stem}.mat" for stem in stems))
    marks[500, 700] = 1
    changed = base / "FIXATIONLOCS" / "Sketch" / "003.mat"
    changed.unlink()
    savemat(changed, {"fixLocs": marks}, do_compression=True)
    return base.parent


def make_koniq(folder: Path) -> Path:
    """Both resolutions and both tables; the scores are those of the true tables' first two rows."""
    root = folder / "KonIQ"
    names = ["10004473376.jpg", "10007357496.jpg", *(f"{number}.jpg" for number in range(10_071))]
    for width, height in ((1024, 768), (512, 384)):
        photo = folder / f"{width}.jpg"
        Image.new("RGB", (width, height), "olive").save(photo)
        links(photo, root / f"{width}x{height}", names)
    rest = names[2:]
    scores = [
        "10004473376.jpg,0,0,25,73,7,105,3.828571,0.527278,77.38362",
        "10007357496.jpg,0,3,45,47,1,96,3.479167,0.580003,68.72857",
        *(f"{name},0,0,9,0,0,9,3.0,0.5,{(number % 100):.1f}" for number, name in enumerate(rest)),
    ]
    sets = [
        "10004473376.jpg,0.0,0.0,0.238095238095,0.695238095238,0.0666666666667,105,77.3836206897,0.527277894494,training",
        "10007357496.jpg,0.0,0.03125,0.46875,0.489583333333,0.0104166666667,96,68.7285714286,0.580003024795,test",
        *(f"{name},0,0,1,0,0,9,{number % 100},0.5,validation" for number, name in enumerate(rest)),
    ]
    (root / "koniq10k_scores_and_distributions.csv").write_text("\n".join([SCORES, *scores]) + "\n")
    (root / "koniq10k_distributions_sets.csv").write_text("\n".join([SETS, *sets]) + "\n")
    return root


@pytest.fixture(scope="session")
def koniq_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole set, to be left as it is."""
    return make_koniq(tmp_path_factory.mktemp("koniq"))


@pytest.fixture
def koniq_tree(tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return make_koniq(tmp_path)


@pytest.fixture
def places_lists(tmp_path: Path) -> Path:
    """The lists of Places365, and no photo: photo n has the label n modulo 365."""
    root = tmp_path / "Places365"
    (root / "val_256").mkdir(parents=True)
    write_places_lists(root)
    return root


@pytest.fixture(scope="session")
def places_whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with all 36,500 photos, to be left as it is."""
    root = tmp_path_factory.mktemp("places")
    photo = root / "photo.png"
    Image.new("RGB", (256, 256), "navy").save(photo, "JPEG")
    links(photo, root / "val_256", PLACES)
    write_places_lists(root)
    return root


def write_places_lists(root: Path) -> None:
    categories = ["/a/airfield", "/a/airplane_cabin", "/a/apartment_building/outdoor"]
    categories += [f"/z/zoo_{number}" for number in range(3, 365)]
    (root / "categories_places365.txt").write_text(
        "".join(f"{category} {number}\n" for number, category in enumerate(categories))
    )
    (root / "places365_val.txt").write_text(
        "".join(f"{name} {number % 365}\n" for number, name in enumerate(PLACES, 1))
    )


class Serving(SimpleHTTPRequestHandler):
    """Files of a folder, parts of them too where ``ranges`` says so, cut short once where ``cut`` names them."""

    asked: list[tuple[str, str]]
    cut: set[str]
    ranges: bool = True

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.asked.append((self.path, wanted))
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            self.send_error(404)
            return
        content, begin = file.read_bytes(), 0
        match = re.fullmatch(r"bytes=(\d+)-", wanted)
        if match and self.ranges:
            begin = int(match[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        end = len(content)
        if self.path in self.cut:
            self.cut.remove(self.path)
            end = begin + (end - begin) // 2
        self.wfile.write(content[begin:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], tuple[str, type[Serving]]]]:
    """Starts a server of the folder ``served``: its address, and its handler class, to look at or to change."""
    (tmp_path / "served").mkdir(exist_ok=True)
    handler = type("Here", (Serving,), {"asked": [], "cut": set()})
    servers = []

    def start() -> tuple[str, type[Serving]]:
        from functools import partial

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path / "served")))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}", handler

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no proxy."""
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return tmp_path / "cache"
