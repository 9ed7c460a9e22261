"""Weights and cards: the safetensors library as oracle, damaged files, saving and loading."""

import json
import os
import random
import struct

import pytest
import safetensors
import safetensors.torch
import torch

from deeplight import _native, weights

NAMES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def tensors():
    generator = torch.Generator().manual_seed(0)
    state = {
        f"layer.{name}": torch.randint(0, 2, (2, 3, 4), generator=generator).to(dtype)
        for name, dtype in NAMES.items()
    }
    state["scalar"] = torch.tensor(1.5)
    state["empty"] = torch.zeros(0, 3)
    state['ü "quoted"'] = torch.randn(5, generator=generator)
    return state


def card(**changes):
    return {
        "format": "deeplight-card-1",
        "name": "test",
        "architecture": "deeplight_sr",
        "options": {"scale": 8},
        "scale": 8,
        "preprocessing": {
            "low_resolution": {"units": "nW/cm2/sr", "transform": "log1p", "mean": 1, "std": 2},
            "guides": [{"name": "dmo", "bands": 2}],
        },
        **changes,
    }


class TestOracle:
    def test_reads_what_the_library_writes(self, tmp_path):
        path = tmp_path / "x.safetensors"
        state = tensors()
        safetensors.torch.save_file(state, path, {"format": "pt", "note": "x"})
        read = _native.read_safetensors(str(path))
        assert {k: (NAMES[t], s) for k, (t, s) in read.items()} == {
            k: (v.dtype, tuple(v.shape)) for k, v in state.items()
        }
        assert _native.safetensors_metadata(str(path)) == {"format": "pt", "note": "x"}
        for name, tensor in state.items():
            raw = _native.safetensors_bytes(str(path), name)
            flat = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
            assert raw == (flat if tensor.dim() else struct.pack("<f", tensor.item()))

    def test_rejects_a_name_that_is_not_there(self, tmp_path):
        path = tmp_path / "x.safetensors"
        safetensors.torch.save_file({"weight": torch.zeros(2)}, path)
        with pytest.raises(ValueError, match="nearest is 'weight'"):
            _native.safetensors_bytes(str(path), "wieght")

    def test_sha256_is_the_files(self, tmp_path):
        import hashlib

        path = tmp_path / "x.safetensors"
        safetensors.torch.save_file(tensors(), path)
        expected = hashlib.sha256(path.read_bytes()).hexdigest()
        assert _native.safetensors_sha256(str(path)) == expected


def accepted_by_library(data):
    try:
        safetensors.torch.load(data)
    except Exception:
        return False
    return True


def accepted_by_us(path):
    try:
        _native.read_safetensors(str(path))
    except ValueError as error:
        assert str(path) in str(error)  # every refusal names the file
        return False
    return True


def test_damaged_files_are_refused_wherever_the_library_refuses(tmp_path):
    rng = random.Random(20120)
    good = safetensors.torch.save(
        {"a.weight": torch.randn(3, 4), "b": torch.zeros(2, dtype=torch.uint8)}, {"k": "v"}
    )
    header_end = 8 + struct.unpack("<Q", good[:8])[0]
    path = tmp_path / "damaged.safetensors"
    refused = stricter = 0
    for trial in range(2000):
        data = bytearray(good)
        kind = trial % 5
        if kind == 0:
            del data[rng.randrange(len(data)) :]
        elif kind == 1:
            data += bytes(rng.randrange(256) for _ in range(rng.randint(1, 9)))
        elif kind == 2:  # a digit of the header becomes another character
            digits = [i for i in range(8, header_end) if chr(data[i]).isdigit()]
            data[rng.choice(digits)] = rng.choice(b"0123456789-.e ")
        elif kind == 3:
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(header_end)] ^= 1 << rng.randrange(8)
        else:  # a stretch of the header is written twice
            start = rng.randrange(8, header_end)
            stop = rng.randrange(start, header_end)
            data[start:start] = data[start:stop]
            data[:8] = struct.pack("<Q", header_end - 8 + stop - start)
        path.write_bytes(data)
        theirs, ours = accepted_by_library(bytes(data)), accepted_by_us(path)
        assert theirs or not ours, bytes(data)
        refused += not ours
        stricter += theirs and not ours
    assert refused > 1500
    assert stricter < 100  # stricter, but not on ordinary files


class TestState:
    def test_half_precision_comes_back_as_float32(self, tmp_path):
        state = {"w": torch.randn(64), "count": torch.tensor(3), "flag": torch.tensor(True)}
        path = weights.save(state, card(), tmp_path / "x.safetensors", dtype="float16")
        stored = _native.read_safetensors(str(path))
        assert stored["w"][0] == "F16"
        assert stored["count"][0] == "I64"
        loaded = weights.load_state(path)
        assert loaded["w"].dtype == torch.float32
        assert torch.equal(loaded["w"], state["w"].half().float())
        assert loaded["count"].item() == 3
        assert loaded["flag"].dtype == torch.bool

    def test_module_with_tied_and_strided_parameters(self, tmp_path):
        net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
        net[1].weight = net[0].weight
        net[0].bias = torch.nn.Parameter(torch.arange(6.0)[::2])
        path = weights.save(net, card(), tmp_path / "x.safetensors")
        loaded = weights.load_state(path)
        assert set(loaded) == set(net.state_dict())
        for name, tensor in net.state_dict().items():
            assert torch.equal(loaded[name], tensor)

    def test_card_states_the_hash(self, tmp_path):
        path = weights.save({"w": torch.zeros(2)}, card(), tmp_path / "x.safetensors")
        assert weights.load_card(path)["weights_sha256"] == _native.safetensors_sha256(str(path))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
    def test_values_that_cannot_be_stored_are_refused(self, tmp_path, value):
        with pytest.raises(ValueError, match="'w'"):
            weights.save(
                {"w": torch.tensor([value])}, card(), tmp_path / "x.safetensors", "float16"
            )
        assert list(tmp_path.iterdir()) == []

    def test_wrong_use(self, tmp_path):
        state = {"w": torch.zeros(1)}
        with pytest.raises(ValueError, match="float32 or float16"):
            weights.save(state, card(), tmp_path / "x.safetensors", dtype=torch.int8)
        with pytest.raises(ValueError, match=r"\.safetensors"):
            weights.save(state, card(), tmp_path / "x.pt")
        with pytest.raises(ValueError, match="scale"):
            weights.save(state, card(scale=0), tmp_path / "x.safetensors")
        with pytest.raises(ValueError, match="JSON"):
            weights.save(state, card(scores={"psnr": float("nan")}), tmp_path / "x.safetensors")
        with pytest.raises(OSError, match="does not exist"):
            weights.save(state, card(), tmp_path / "none" / "x.safetensors")
        assert list(tmp_path.iterdir()) == []

    def test_damaged_file_names_itself(self, tmp_path):
        path = tmp_path / "x.safetensors"
        path.write_bytes(safetensors.torch.save({"w": torch.zeros(4)})[:-1])
        with pytest.raises(ValueError, match=r"x\.safetensors.*truncated"):
            weights.load_state(path)
        with pytest.raises(FileNotFoundError, match="none"):
            weights.load_state(tmp_path / "none.safetensors")

    @pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
    def test_pickles_are_never_read(self, tmp_path, suffix):
        class Bomb:
            def __reduce__(self):
                return (os.mkdir, (str(tmp_path / "boom"),))

        path = tmp_path / f"model{suffix}"
        torch.save(Bomb(), path)
        for function in (weights.load_state, weights.resolve_weights, weights.load_card):
            with pytest.raises(ValueError, match="convert it"):
                function(path)
        disguised = tmp_path / "model.safetensors"
        disguised.write_bytes(path.read_bytes())
        with pytest.raises(ValueError, match="not a safetensors file"):
            weights.load_state(disguised)
        assert not (tmp_path / "boom").exists()


class TestCard:
    def test_round_trip_fills_in_defaults(self, tmp_path):
        path = tmp_path / "x.json"
        weights.save_card(path, card())
        read = weights.load_card(path)
        assert read["preprocessing"]["contrast_windows"] == [17]
        assert read["preprocessing"]["output"] == read["preprocessing"]["low_resolution"]
        assert read["preprocessing"]["guides"][0]["contrast"] == "none"
        weights.save_card(path, read)
        assert weights.load_card(path) == read

    def test_refusals_name_the_file_and_the_field(self, tmp_path):
        path = tmp_path / "x.json"
        path.write_text(json.dumps(card(scael=4)))
        with pytest.raises(ValueError, match=r"x\.json.*'scael'; did you mean 'scale'"):
            weights.load_card(path)
        with pytest.raises(FileNotFoundError, match=r"y\.json"):
            weights.load_card(tmp_path / "y.json")

    def test_missing_card(self, tmp_path):
        path = tmp_path / "x.safetensors"
        safetensors.torch.save_file({"w": torch.zeros(1)}, path)
        with pytest.raises(FileNotFoundError, match=r"x\.json' is missing"):
            weights.load_card(path)

    def test_validate_gives_text_back(self):
        text = _native.validate_card(json.dumps(card()))
        assert json.loads(text)["name"] == "test"
        with pytest.raises(ValueError, match="here: "):
            _native.validate_card("{", "here")


class TestNames:
    @pytest.fixture
    def shipped(self, tmp_path, monkeypatch):
        monkeypatch.setattr(weights, "_SHIPPED", tmp_path)
        for name in ("black-marble-x8", "black-marble-x4"):
            weights.save({"w": torch.zeros(1)}, card(name=name), tmp_path / f"{name}.safetensors")
        (tmp_path / "no-card.safetensors").write_bytes(b"")
        return tmp_path

    def test_list_and_resolve(self, shipped):
        assert weights.list_weights() == ["black-marble-x4", "black-marble-x8"]
        assert weights.resolve_weights("black-marble-x8") == shipped / "black-marble-x8.safetensors"
        assert weights.load_card("black-marble-x4")["name"] == "black-marble-x4"

    def test_did_you_mean(self, shipped):
        with pytest.raises(FileNotFoundError, match="did you mean 'black-marble-x8'"):
            weights.resolve_weights("black_marble-x8")
        with pytest.raises(FileNotFoundError, match="shipped: black-marble-x4, black-marble-x8"):
            weights.resolve_weights("zzz")

    def test_paths(self, shipped, tmp_path):
        path = tmp_path / "black-marble-x8.safetensors"
        assert weights.resolve_weights(path) == path
        assert weights.resolve_weights(path.with_suffix(".json")) == path
        with pytest.raises(FileNotFoundError, match="no such weights file"):
            weights.resolve_weights(tmp_path / "none.safetensors")
        other = tmp_path / "x.tif"
        other.write_bytes(b"x")
        with pytest.raises(ValueError, match=r"must be a \.safetensors"):
            weights.resolve_weights(other)


def test_shipped_weights_are_whole():
    for name in weights.list_weights():
        path = weights.resolve_weights(name)
        assert weights.load_card(name)["weights_sha256"] == _native.safetensors_sha256(str(path))
        assert weights.load_card(name)["name"] == name
        assert weights.load_state(path)
