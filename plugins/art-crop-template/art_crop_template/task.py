"""A task: the salient point should come into a box that is the same in every photo, such as where a caption lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from art_crop.bench.tasks import Outcome, Sample, Target, Task
from art_crop.errors import InvalidInputError

__all__ = ["PeakInBox"]


class PeakInBox(Task):
    """The salient point lies in ``box`` (x0, y0, x1, y1 as shares of width and height)."""

    name = "peak-in-box"
    models = "saliency"
    defaults: ClassVar[Mapping[str, Any]] = {"box": (0.0, 0.5, 0.5, 1.0), "jpeg_quality": 0}
    measures = ("distance",)

    def check(self) -> None:
        """Refuse a box that is none."""
        box = self.options["box"]
        if not isinstance(box, (list, tuple)) or len(box) != 4:
            raise InvalidInputError(f"box: x0, y0, x1, y1 as shares of the photo are needed, not {box!r}")
        self._region()

    def reached(self) -> str:
        """Say what "reached" means."""
        return "“Reached” means that the salient point of the written file lies in the box."

    def target(self, sample: Sample) -> Target:
        """Want the same of every photo."""
        region = self._region()
        return Target(region, region)

    def objective(self, targets: Sequence[Target]) -> Any:
        """Build the objective of some photos."""
        from art_crop.objectives import PeakInRegion

        return PeakInRegion([target.y for target in targets])

    def outcome(self, sample: Sample, target: Target, output: Any, change: Mapping[str, float]) -> Outcome:
        """Say how far the salient point is from the middle of the box, in shares of the photo."""
        objective = self.objective([target])
        before, after = (bool(objective(one).success[0]) for one in (sample.output, output))
        row, column = divmod(int(output.saliency[0].argmax()), output.saliency.shape[2])
        x, y = float(output.x[column]) / output.size[0], float(output.y[row]) / output.size[1]
        box = target.y
        distance = ((x - (box.x0 + box.x1) / 2) ** 2 + (y - (box.y0 + box.y1) / 2) ** 2) ** 0.5
        return Outcome(after, before, {"distance": distance}, {"peak": f"{x:.2f}, {y:.2f}"})

    def _region(self) -> Any:
        from art_crop.geometry import Region

        return Region(*(float(side) for side in self.options["box"]))
