"""Predictions of regions: windows, surroundings, the eightfold ensemble."""

import contextlib

import pytest
import torch
from tiny_run import CONFIG

import deeplight
from deeplight.training import load_config, load_data
from deeplight.training.loop import Trainer
from deeplight.training.prediction import _SYMMETRIES, _owners, frame_of, predict_region

REGION = (3, 2, 9, 11)  # row, column, height, width; inside the samples, and no square


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    path = folder / "tiny.toml"
    path.write_text(CONFIG.replace("zero_heads = true", "zero_heads = false"))
    data = load_data(load_config(path))
    network = Trainer(load_config(path), folder / "run", data).network.eval()
    return network, data


def predict(network, data, region=REGION, **options):
    return predict_region(network, data, region, contextlib.nullcontext, **options)


def difference(a, b):
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("self_ensemble", [False, True])
def test_windows_do_not_change_the_image(tiny, context, self_ensemble):
    options = {"context": context, "self_ensemble": self_ensemble}
    whole = predict(*tiny, **options)
    assert whole.shape == (1, 1, REGION[2] * tiny[1].scale, REGION[3] * tiny[1].scale)
    for cells in (16, 40):
        assert difference(predict(*tiny, cells=cells, **options), whole) < 1e-5


@pytest.mark.parametrize("self_ensemble", [False, True])
def test_what_a_network_pools_inside_is_the_same_in_every_window(tiny, self_ensemble):
    _, data = tiny
    torch.manual_seed(0)
    guides = {name: data.window(guide, REGION).shape[1] for name, guide in data.guides.items()}
    small = {"stages": 1, "blocks": 1, "reconstruction_blocks": 1, "reduction": 4, "width": 4}
    network = deeplight.create_model("mocolsk_net", scale=data.scale, guides=guides, **small).eval()
    seen = []
    own_part = network.native.forward_part

    class Native:
        """The native network, with an ear at its windows."""

        def __getattr__(self, name):
            return getattr(network.native, name)

        def forward_part(self, low, guides, part, statistics):
            seen.append(statistics.pooled)
            return own_part(low, guides, part, statistics)

    class Listened:
        """A network that `predict_region` takes for the network itself."""

        native = Native()

        def __getattr__(self, name):
            return getattr(network, name)

    predict(Listened(), data, cells=16, self_ensemble=self_ensemble)
    orientations = 8 if self_ensemble else 1
    first = seen[:orientations]
    assert len(seen) > orientations and all(first)
    for index, pooled in enumerate(seen):
        expected = first[index % orientations]
        assert all(torch.equal(pooled[name], expected[name]) for name in expected)


@pytest.mark.parametrize("size", [(9, 11), (1, 50), (50, 1), (8, 8)])
@pytest.mark.parametrize("cells", [1, 7, 16, 10_000])
def test_windows_cover_each_cell_once(size, cells):
    counts = torch.zeros(size)
    for row, column, height, width in _owners(*size, cells):
        assert 0 < height * width <= cells
        counts[row : row + height, column : column + width] += 1
    assert bool((counts == 1).all())


def test_without_context_it_is_the_network_over_the_region_alone(tiny):
    network, data = tiny
    preprocessor = data.preprocessor()
    low = preprocessor.low_resolution(data.low_resolution_of(REGION))
    guides = {name: data.window(guide, REGION) for name, guide in data.guides.items()}
    with torch.no_grad():
        alone = preprocessor.restore(network(low, guides).image)
    assert difference(predict(network, data), alone) < 1e-5


def test_context_reads_the_surroundings(tiny):
    network, data = tiny
    frame = frame_of(data, REGION, True)
    assert frame[:2] == (0, 0)
    assert frame != REGION == frame_of(data, REGION, False)
    row, column, height, width = (data.scale * side for side in REGION)
    everything = predict(network, data, frame)
    cut = everything[:, :, row : row + height, column : column + width]
    with_context = predict(network, data, context=True)
    assert difference(with_context, cut) < 1e-5
    assert difference(predict(network, data), cut) > 1e-3


def test_the_ensemble_is_the_mean_over_eight(tiny):
    network, data = tiny
    preprocessor = data.preprocessor()
    low = preprocessor.low_resolution(data.low_resolution_of(REGION))
    guides = {name: data.window(guide, REGION) for name, guide in data.guides.items()}
    images = []
    for flip in (False, True):
        for turns in range(4):

            def turn(image, flip=flip, turns=turns):
                return torch.rot90(image.flip(-1) if flip else image, turns, (-2, -1)).contiguous()

            with torch.no_grad():
                turned = network(turn(low), {name: turn(guide) for name, guide in guides.items()})
            straight = torch.rot90(turned.image, -turns, (-2, -1))
            images.append(straight.flip(-1) if flip else straight)
    assert difference(images[1], images[0]) > 1e-4  # this network is not symmetric by itself
    mean = preprocessor.restore(torch.stack(images).mean(0))
    assert difference(predict(network, data, self_ensemble=True), mean) < 1e-5


def test_symmetries_place_windows_where_they_move_pixels():
    image = torch.arange(5 * 7).reshape(5, 7)
    seen = set()
    for symmetry in _SYMMETRIES:
        turned = symmetry.apply(image)
        seen.add(tuple(turned.flatten().tolist()) + tuple(turned.shape))
        assert torch.equal(symmetry.undo(turned), image)
        row, column, height, width = window = (1, 2, 3, 4)
        part = image[row : row + height, column : column + width]
        top, left, rows, columns = placed = symmetry.place(window, 5, 7)
        expected = symmetry.apply(part)
        assert torch.equal(turned[top : top + rows, left : left + columns], expected)
        assert symmetry.origin(placed, 5, 7) == window
    assert len(seen) == 8
