from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.worlds import PYRAMID, SETTINGS, mark, new_head, photo, small_backbone
from visionkit.heads.exemplar import ExemplarHead
from visionkit.matching.candidates import Candidates, concatenate, no_candidates
from visionkit.matching.gallery import make_view
from visionkit.matching.pyramid import Level, ScenePyramid, scene_pyramid
from visionkit.matching.search import SearchSettings, TemplateIndex
from visionkit.matching.templates import Template, build_templates

CHANNELS = 6
Found = dict[tuple[float, ...], float]
"""(template, level, *box) -> similarity."""


def plain_head() -> ExemplarHead:
    """A head whose embedding is the feature itself, made a unit vector."""
    return ExemplarHead(CHANNELS, embedding_size=CHANNELS).eval()


def random_scene(rng: np.random.Generator, *shapes: tuple[int, int]) -> ScenePyramid:
    levels = [
        Level(
            torch.from_numpy(rng.normal(size=(CHANNELS, *shape)).astype(np.float32)),
            0.5**number,
            0.4**number,
        )
        for number, shape in enumerate(shapes)
    ]
    return ScenePyramid(tuple(levels), (shapes[0][0] * 8, shapes[0][1] * 8), 8)


def random_template(
    rng: np.random.Generator, number: int, shape: tuple[int, int], cells: float = 8.0
) -> Template:
    features = rng.normal(size=(CHANNELS, *shape)).astype(np.float16)
    weights = rng.uniform(0.1, 1, shape).astype(np.float32)
    return Template(
        number, cells, torch.from_numpy(features), torch.from_numpy(weights), (0.9, 0.8)
    )


def response_by_loops(scene: NDArray[np.float32], template: Template) -> NDArray[np.float64]:
    """Mean cosine similarity of the template's cells, weighted, at every place; a rim of one
    cell beyond the scene resembles nothing."""
    features, weights = template.features.float().numpy(), template.weights.numpy()
    rows, columns = weights.shape
    height, width = scene.shape[1:]
    response = np.zeros((height + 2 - rows + 1, width + 2 - columns + 1))
    for top in range(response.shape[0]):
        for left in range(response.shape[1]):
            for row in range(rows):
                for column in range(columns):
                    y, x = top + row - 1, left + column - 1
                    if 0 <= y < height and 0 <= x < width:
                        a, b = scene[:, y, x], features[:, row, column]
                        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                        response[top, left] += cosine * weights[row, column] / weights.sum()
    return response


def peaks_by_loops(response: NDArray[np.float64], count: int) -> list[tuple[int, int]]:
    places = [
        (row, column)
        for row in range(response.shape[0])
        for column in range(response.shape[1])
        if response[row, column]
        == response[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].max()
    ]
    return sorted(places, key=lambda place: -response[place])[:count]


def search_by_loops(
    pyramid: ScenePyramid, templates: list[Template], settings: SearchSettings
) -> Found:
    found = {}
    for number, level in enumerate(pyramid.levels):
        for index, template in enumerate(templates):
            rows, columns = template.weights.shape
            if number and template.cells in settings.small_template_cells:
                continue
            if rows > level.features.shape[1] + 2 or columns > level.features.shape[2] + 2:
                continue
            response = response_by_loops(level.features.numpy(), template)
            for row, column in peaks_by_loops(response, settings.peaks):
                cell_x, cell_y = 8 / level.scale_x, 8 / level.scale_y
                x, y = (column - 1 + columns / 2) * cell_x, (row - 1 + rows / 2) * cell_y
                half_x = template.extent[0] * columns / 2 * cell_x
                half_y = template.extent[1] * rows / 2 * cell_y
                box = (x - half_x, y - half_y, x + half_x, y + half_y)
                found[(index, number, *(round(edge, 1) for edge in box))] = response[row, column]
    return found


def by_place(candidates: Candidates) -> Found:
    columns = (candidates.template, candidates.level, candidates.boxes, candidates.similarity)
    return {
        (int(template), int(level), *(round(float(edge), 1) for edge in box)): float(similarity)
        for template, level, box, similarity in zip(*columns, strict=True)
    }


def test_no_templates_find_nothing() -> None:
    scene = random_scene(np.random.default_rng(0), (9, 12))
    assert len(TemplateIndex([], plain_head(), SearchSettings()).search(scene, plain_head())) == 0


def test_nothing_joined_to_nothing() -> None:
    assert len(concatenate([])) == len(concatenate([no_candidates(), no_candidates()])) == 0


def test_taken_candidates_keep_their_order() -> None:
    candidates = Candidates(
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.array([0.1, 0.2, 0.3], np.float32),
        np.array([4, 5, 6]),
        np.array([0, 1, 0]),
    )
    taken = candidates.take(np.array([2, 0]))
    assert taken.template.tolist() == [6, 4]
    assert taken.boxes[0].tolist() == [8, 9, 10, 11]
    assert candidates.take(np.array([False, True, False])).level.tolist() == [1]
    assert len(concatenate([taken, candidates])) == 5


@pytest.mark.parametrize("seed", range(3))
def test_search_is_correlation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, (9, 12), (5, 6))
    settings = SearchSettings(template_cells=(8.0,), small_template_cells=(5.0,), peaks=3)
    templates = [
        random_template(rng, 0, (3, 4)),
        random_template(rng, 0, (2, 2), cells=5.0),
        random_template(rng, 1, (3, 4)),
        random_template(rng, 2, (7, 2)),
        random_template(rng, 3, (8, 9)),  # too large for the second scale
    ]
    found = TemplateIndex(templates, plain_head(), settings).search(scene, plain_head())
    assert by_place(found) == pytest.approx(search_by_loops(scene, templates, settings), abs=1e-5)


def test_a_template_without_room_is_not_searched() -> None:
    rng = np.random.default_rng(0)
    scene = random_scene(rng, (2, 2))
    index = TemplateIndex([random_template(rng, 0, (5, 5))], plain_head(), SearchSettings())
    assert len(index.search(scene, plain_head())) == 0


def test_where_there_is_one_peak_one_place_is_found() -> None:
    rng = np.random.default_rng(0)
    scene = random_scene(rng, (3, 3))
    template = random_template(rng, 0, (4, 4))  # fits in 2 x 2 places, one of them the best
    found = TemplateIndex([template], plain_head(), SearchSettings(peaks=3)).search(
        scene, plain_head()
    )
    assert len(found) == 1
    assert found.similarity[0] == pytest.approx(
        response_by_loops(scene.levels[0].features.numpy(), template).max(), abs=1e-5
    )


@pytest.mark.parametrize(
    ("row", "column"), [(3, 5), (0, 0), (6, 9)], ids=["inside", "first corner", "last corner"]
)
def test_what_lies_in_the_scene_is_found_where_it_lies(row: int, column: int) -> None:
    rng = np.random.default_rng(1)
    scene = random_scene(rng, (10, 14))
    patch = scene.levels[0].features[:, row : row + 4, column : column + 5]
    template = Template(0, 8.0, patch.half(), torch.ones(4, 5), (1.0, 1.0))
    found = TemplateIndex([template], plain_head(), SearchSettings()).search(scene, plain_head())
    best = int(found.similarity.argmax())
    assert found.similarity[best] == pytest.approx(1, abs=1e-3)
    expected = [column * 8, row * 8, (column + 5) * 8, (row + 4) * 8]
    np.testing.assert_allclose(found.boxes[best], expected, atol=1e-3)


def test_an_item_cut_by_the_rim_is_found() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(CHANNELS, 5, 5)).astype(np.float32)
    scene = random_scene(rng, (8, 8))
    scene.levels[0].features[:, :4, :4] = torch.from_numpy(features[:, 1:, 1:])
    template = Template(0, 8.0, torch.from_numpy(features).half(), torch.ones(5, 5), (1.0, 1.0))
    found = TemplateIndex([template], plain_head(), SearchSettings()).search(scene, plain_head())
    best = int(found.similarity.argmax())
    np.testing.assert_allclose(found.boxes[best], [-8, -8, 32, 32], atol=1e-3)
    assert found.similarity[best] == pytest.approx(16 / 25, abs=0.2)


def test_together_as_one_by_one() -> None:
    rng = np.random.default_rng(3)
    scene = random_scene(rng, (9, 12), (5, 6))
    templates = [random_template(rng, n, shape) for n, shape in enumerate([(3, 4), (3, 4), (4, 3)])]
    together = TemplateIndex(templates, plain_head(), SearchSettings()).search(scene, plain_head())
    alone: Found = {}
    for number, template in enumerate(templates):
        single = TemplateIndex([template], plain_head(), SearchSettings())
        found = by_place(single.search(scene, plain_head()))
        alone |= {(number, *place[1:]): similarity for place, similarity in found.items()}
    assert by_place(together) == pytest.approx(alone, abs=1e-6)


@pytest.fixture(scope="module")
def many_templates() -> list[Template]:
    """Templates of 240 drawn marks."""
    views = []
    for number in range(240):
        drawn = mark(5000 + number, 64)
        views.append(make_view(f"mark {number}", drawn[..., :3], alpha=drawn[..., 3]))
    return build_templates(views, small_backbone(), stride=8, cells=(6.0,))


def test_a_shortlist_keeps_the_view_that_is_there(many_templates: list[Template]) -> None:
    settings = replace(
        SETTINGS.search, template_cells=(6.0,), small_template_cells=(), dense_views=48
    )
    head = new_head()
    index = TemplateIndex(many_templates, head, settings)
    photos = [scene_pyramid(photo(seed), small_backbone(), PYRAMID) for seed in range(3)]
    lost = []
    for number in range(0, 240, 6):
        patch = many_templates[number].features.float()
        features = photos[number % 3].levels[0].features.clone()
        features[:, 5 : 5 + patch.shape[1], 9 : 9 + patch.shape[2]] = patch
        scene = ScenePyramid((Level(features, 1.0, 1.0),), (144, 192), 8)
        if number not in index.search(scene, head).template:
            lost.append(number)
    assert lost == []


def test_a_shortlist_is_short(many_templates: list[Template]) -> None:
    settings = replace(
        SETTINGS.search, template_cells=(6.0,), small_template_cells=(), dense_views=48
    )
    head = new_head()
    scene = scene_pyramid(photo(8, 80, 100), small_backbone(), PYRAMID)
    assert len(scene.levels) == 1
    found = TemplateIndex(many_templates, head, settings).search(scene, head)
    assert len(np.unique(found.template)) == 48


def test_what_fits_is_found_where_and_as_well_as_by_a_search_of_all(
    many_templates: list[Template],
) -> None:
    settings = replace(SETTINGS.search, template_cells=(6.0,), small_template_cells=())
    head = new_head()
    few = TemplateIndex(many_templates, head, replace(settings, dense_views=48))
    every = TemplateIndex(many_templates, head, replace(settings, dense_views=240))
    base = scene_pyramid(photo(4), small_backbone(), PYRAMID).levels[0].features
    for number in range(0, 240, 24):
        patch = many_templates[number].features.float()
        features = base.clone()
        features[:, 4 : 4 + patch.shape[1], 7 : 7 + patch.shape[2]] = patch
        scene = ScenePyramid((Level(features, 1.0, 1.0),), (144, 192), 8)

        def prior(
            similarity: NDArray[np.float32],
            template: NDArray[np.int64],
            likely: int = number,
        ) -> NDArray[np.float32]:
            return np.where(template == likely, similarity, np.float32(-9))

        found, expected = few.search(scene, head, prior), every.search(scene, head)
        best = int(expected.similarity.argmax())
        assert set(found.template.tolist()) == {number}
        own = int(found.similarity.argmax())
        assert found.template[own] == expected.template[best]
        assert found.similarity[own] == pytest.approx(expected.similarity[best], abs=1e-5)
        np.testing.assert_allclose(found.boxes[own], expected.boxes[best], atol=1e-3)


def test_a_small_gallery_is_searched_whole(many_templates: list[Template]) -> None:
    settings = replace(
        SETTINGS.search, template_cells=(6.0,), small_template_cells=(), dense_views=48
    )
    head = new_head()
    features = torch.randn(small_backbone().channels[8], 18, 24, generator=torch.Generator())
    scene = ScenePyramid((Level(features, 1.0, 1.0),), (144, 192), 8)
    found = TemplateIndex(many_templates[:48], head, settings).search(scene, head)
    assert set(found.template.tolist()) == set(range(48))
