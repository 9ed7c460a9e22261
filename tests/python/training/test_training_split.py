"""Parts of a split: blocks, buffers, folds, and what reaches across a border."""

import itertools
import warnings

import numpy as np
import pytest

from deeplight.training.schema import BlocksConfig, RegionConfig, SplitConfig
from deeplight.training.split import check_reach, split_regions

GRIDS = [(24, 24, 6, 1), (31, 50, 7, 2), (128, 175, 24, 4), (9, 80, 10, 3)]


def painted(regions, rows, columns):
    """How often each cell is in a region."""
    count = np.zeros((rows, columns), int)
    for row, column, height, width in regions:
        assert height > 0 and width > 0
        count[row : row + height, column : column + width] += 1
    return count


def distance(a, b):
    """Smallest number of cells between two masks, along the axis that parts them more."""
    first, second = np.argwhere(a), np.argwhere(b)
    apart = np.abs(first[:, None] - second[None]).max(-1)
    return int(apart.min()) - 1


@pytest.mark.parametrize(("rows", "columns", "size", "buffer"), GRIDS)
@pytest.mark.parametrize("seed", [0, 7])
def test_over_all_folds_each_cell_is_validated_once(rows, columns, size, buffer, seed):
    total = np.zeros((rows, columns), int)
    for fold in range(4):
        blocks = BlocksConfig(size=size, folds=4, fold=fold, seed=seed)
        parts = split_regions(SplitConfig(blocks=blocks, buffer=buffer), rows, columns)
        assert parts["test"] == []
        validation = painted(parts["validation"], rows, columns)
        train = painted(parts["train"], rows, columns)
        assert train.max() == 1 and not (train & validation).any()
        assert train.sum() > 0.2 * rows * columns
        if rows * columns < 2000:
            assert distance(train, validation) >= buffer
        total += validation
    assert (total == 1).all()


@pytest.mark.parametrize(("rows", "columns", "size", "buffer"), GRIDS[:2])
def test_a_test_fold_stays_whole_and_apart(rows, columns, size, buffer):
    blocks = BlocksConfig(size=size, folds=4, fold=1, test_fold=2)
    parts = split_regions(SplitConfig(blocks=blocks, buffer=buffer), rows, columns)
    masks = {name: painted(regions, rows, columns) for name, regions in parts.items()}
    for a, b in itertools.combinations(masks.values(), 2):
        assert distance(a, b) >= buffer
    alone = BlocksConfig(size=size, folds=4, fold=2)
    whole = split_regions(SplitConfig(blocks=alone, buffer=buffer), rows, columns)["validation"]
    assert (masks["test"] == painted(whole, rows, columns)).all()


def test_the_deal_is_the_same_on_every_machine():
    def validation(seed, fold=0):
        blocks = BlocksConfig(size=8, folds=3, fold=fold, seed=seed)
        return split_regions(SplitConfig(blocks=blocks, buffer=1), 24, 24)["validation"]

    # `printf 0/$block | sha256sum`, sorted, puts the blocks in the order 4 0 6 7 2 1 5 8 3.
    assert validation(0) == [(8, 8, 8, 16), (16, 8, 8, 8)]  # blocks 4 and 5, block 7
    assert validation(0) != validation(1)


def test_blocks_of_one_part_become_one_region():
    blocks = BlocksConfig(size=10, folds=2, fold=0)
    parts = split_regions(SplitConfig(blocks=blocks, buffer=0), 20, 100)
    assert sum(len(regions) for regions in parts.values()) < 20
    count = painted(parts["train"] + parts["validation"], 20, 100)
    assert (count == 1).all()


def test_only_sides_that_touch_another_part_shrink():
    blocks = BlocksConfig(size=10, folds=2, fold=0)
    ((row, column, height, width),) = split_regions(SplitConfig(blocks=blocks, buffer=3), 10, 20)[
        "train"
    ]
    assert (row, height, width) == (0, 10, 7)
    assert column in (0, 13)


def test_fewer_blocks_than_folds_is_refused():
    blocks = BlocksConfig(size=12, folds=5)
    with pytest.raises(ValueError, match=r"4 blocks of size 12, fewer than folds = 5"):
        split_regions(SplitConfig(blocks=blocks), 24, 24)


def columns(first, last):
    return (RegionConfig(columns=(first, last)),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": ()}, "the train part of the split is empty"),
        ({"validation": ()}, "the validation part of the split is empty"),
        ({"validation": columns(9, 14)}, "overlaps the validation region"),
        ({"validation": columns(11, 14)}, "1 cells apart, closer than the buffer of 2"),
        ({"test": columns(14, 20)}, "the validation region .* overlaps the test region"),
        ({"test": columns(17, 24)}, "the test region .* leaves the low-resolution grid"),
        ({"test": columns(20, 18)}, r"'split.test\[0\].columns' must be \[first, last\]"),
    ],
)  # fmt: skip
def test_parts_that_cannot_be_trusted(change, message):
    given = {"train": columns(0, 9), "validation": columns(12, 15), **change}
    with pytest.raises(ValueError, match=message):
        split_regions(SplitConfig(**given), 24, 24)


@pytest.mark.parametrize(
    ("context", "data", "network", "refused"),
    [
        (False, 2, 9, None),
        (False, 3, 0, "2 low-resolution cells apart, but 3 are read .*3 by the preparation"),
        (True, 1, 1, None),
        (True, 1, 2, "2 low-resolution cells apart, but 3 are read .*1 by the prep.*2 by the net"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_parts_closer_than_the_reach_are_refused_unless_forced(
    context, data, network, refused, force
):
    split = SplitConfig(columns(0, 9), columns(12, 15), context=context, force=force)
    regions = split_regions(split, 24, 24)
    if refused and not force:
        with pytest.raises(ValueError, match=refused) as error:
            check_reach(split, regions, data, network)
        assert "train region rows 0..23, columns 0..9" in str(error.value)
        assert "validation region rows 0..23, columns 12..15" in str(error.value)
        assert "split.force" in str(error.value)
    elif refused:
        with pytest.warns(UserWarning, match=refused):
            check_reach(split, regions, data, network)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_reach(split, regions, data, network)
