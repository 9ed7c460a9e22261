"""A training run small enough for a test: the sample rasters and a network of width 8."""

import hashlib
from pathlib import Path

import deeplight

SAMPLES = Path(deeplight.__file__).parent / "sample_data/black_marble"
SHIPPED = Path(__file__).parents[3] / "configs/black_marble_x8.toml"

CONFIG = f"""
[data]
root = "{SAMPLES}"
target = "ntl_hr.tif"
auxiliary = "settlement_proxy.tif"
data_range = 255.0
[data.light]
std = 32.0
[[data.guides]]
name = "dmo"
path = "dmo.tif"
contrast = "difference"
[[data.guides]]
name = "dem"
path = "dem.tif"
[split]
train = [{{ columns = [0, 14] }}]
validation = [{{ columns = [17, 23] }}]
[patches]
patch = 8
batch = 2
[model.options]
width = 8
[model.options.align]
warp = false
[model.options.fuse]
blocks = 1
[model.options.refine]
guide_gate = true
bicubic_skip = true
zero_heads = true
[loss]
pixel_loss = "mse"
[optimizer]
warmup = 2
[run]
steps = 9
validate_every = 4
checkpoint_every = 3
log_every = 1
[weights]
name = "tiny"
dtype = "float32"
"""


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def spoiled(config_file, old, new):
    assert old in CONFIG
    config_file.write_text(CONFIG.replace(old, new))
    return config_file
