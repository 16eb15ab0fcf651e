"""Layout ``market1501``: landmarks are identities, seen by fixed cameras, cut out 2:1 upright.

::

    OUT/market1501/bounding_box_train/0001_c1s2_001000_01.jpg
    OUT/market1501/query/0002_c1s1_002000_00.jpg
    OUT/market1501/bounding_box_test/0002_..., 0000_... (distractors), -1_... (junk)
"""

from pathlib import Path

from perisphere.catalog.scenes.box import cut, landmark_box, loosened, misplaced
from perisphere.catalog.scenes.device import draw_device
from perisphere.catalog.scenes.layouts.layout import OUTSIDE, Layout, Roll
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.photo import DIFFICULTIES, Photo, take_photo
from perisphere.catalog.scenes.world import Landmark, box_stream
from perisphere.errors import UsageError

MOST_CAMERAS = 9  # a file name has one digit for it
MOST_PHOTOS = 999  # of a landmark: frames are numbered a thousand a landmark
DISTRACTORS, JUNK = 0.21, 0.24
"""For each right photo of the gallery, as in Market-1501: 2,798 and 3,819 beside 13,115 and 15,913."""
_PER_DISTRACTOR = 3


class Market1501(Layout):
    """Every second landmark is for training; of the others each camera gives one query, the rest are gallery.

    Photos come from the cameras in turn. Distractors are landmarks that are no query's, a few photos each;
    junk are boxes that a detector put in the wrong place.
    """

    def __init__(self, out: Path, *, truth: bool, cameras: int = 6) -> None:
        self.out, self.truth, self.cameras = out, truth, cameras

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read market1501``."""
        return self.out / "market1501"

    def label(self, landmark: Landmark) -> str:
        """Return its identity, as the file names have it."""
        return "0000" if landmark.number >= OUTSIDE else f"{landmark.number + 1:04d}"

    def rolls(self, landmarks: int, photos: int) -> list[Roll]:
        """All photos of all landmarks, then distractors; junk comes with the landmarks for testing."""
        self._check(landmarks, photos)
        spare = photos - self.cameras
        tested = range(1, landmarks, 2)
        rolls = super().rolls(landmarks, photos)
        junk = round(JUNK * (1 + DISTRACTORS) * spare)
        rolls += [Roll(number, OUTSIDE, OUTSIDE + junk) for number in tested]
        strangers = round(DISTRACTORS * spare * len(tested) / _PER_DISTRACTOR)
        firsts = (k * _PER_DISTRACTOR % self.cameras for k in range(strangers))
        return rolls + [Roll(OUTSIDE + k, f, f + _PER_DISTRACTOR) for k, f in enumerate(firsts)]

    def _check(self, landmarks: int, photos: int) -> None:
        """Refuse what cannot be named, or leaves a query without a photo to find."""
        if not 2 <= self.cameras <= MOST_CAMERAS:
            raise UsageError(f"--cameras {self.cameras}: must be from 2 to {MOST_CAMERAS}.")
        if not 2 * self.cameras <= photos <= MOST_PHOTOS:
            raise UsageError(
                f"--photos {photos}: --layout market1501 takes from {2 * self.cameras} (a query and a "
                f"gallery photo for each of {self.cameras} cameras) to {MOST_PHOTOS}."
            )
        if landmarks < 2:
            raise UsageError(
                f"--landmarks {landmarks}: --layout market1501 takes at least 2, one for testing."
            )

    def take(self, seed: int, of: int, number: int, *, size: int, difficulty: str) -> Photo:
        """Take a photo with the camera whose turn it is, and cut out what the detector found."""
        level = DIFFICULTIES[difficulty]
        device = draw_device(seed, number % self.cameras, self.cameras, level)
        photo = take_photo(seed, of, number, size=size, difficulty=difficulty, device=device)
        rng, whole = box_stream(seed, of, number), (size, size)
        box = landmark_box(photo)
        if number >= OUTSIDE:
            found = misplaced(box, rng, whole)
        else:
            found = loosened(box, rng, 0.04 + 0.12 * level.loose, whole)
        return cut(photo, found, (size // 2, size))

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the JPEG and the mask; paths in the record are relative to the photos' folder."""
        path = self._path(photo)
        file = self.photos / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo.jpeg())
        return write_mask(self.out / "truth", path, photo) if self.truth else {}

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write what is true of the photos."""
        if self.truth:
            write_truth(self.out / "truth", landmarks, records)

    def _path(self, photo: Photo) -> Path:
        """Return the folder and the name: identity, camera and sequence, frame, box."""
        assert photo.device is not None
        of, number = photo.landmark.number, photo.number
        junk, stranger = number >= OUTSIDE, of >= OUTSIDE
        trained = not stranger and of % 2 == 0
        query = not (junk or stranger or trained) and number < self.cameras
        identity = "-1" if junk else self.label(photo.landmark)
        sequence = photo.device.sequence(of) + 1
        frame = of % OUTSIDE * (MOST_PHOTOS + 1) + number % OUTSIDE
        name = f"{identity}_c{photo.device.number + 1}s{sequence}_{frame:06d}_{0 if query else 1:02d}.jpg"
        return Path("bounding_box_train" if trained else "query" if query else "bounding_box_test", name)
