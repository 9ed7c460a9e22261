"""The core of MoCoLSK-Net in NumPy, one sample at a time, every sum written out: the oracle."""

import numpy as np

BINS = (1, 2, 3, 6)  # cells along a side of each level of the pyramid


def _depthwise(x, weight, bias, dilation):
    channels, height, width = x.shape
    k = weight.shape[-1]
    pad = k // 2 * dilation
    padded = np.zeros((channels, height + 2 * pad, width + 2 * pad))
    padded[:, pad : pad + height, pad : pad + width] = x
    result = np.repeat(bias[:, None], height * width, 1).reshape(x.shape).astype(float)
    for i in range(k):
        for j in range(k):
            rows = slice(i * dilation, i * dilation + height)
            columns = slice(j * dilation, j * dilation + width)
            result += weight[:, 0, i, j, None, None] * padded[:, rows, columns]
    return result


def _pyramid(x):
    _, height, width = x.shape
    result = []
    for n in BINS:
        for i in range(n):
            for j in range(n):
                rows = slice(i * height // n, -(-(i + 1) * height // n))
                columns = slice(j * width // n, -(-(j + 1) * width // n))
                result.append(x[:, rows, columns].mean((1, 2)))
    return np.stack(result)


def _layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def core_numpy(state, main, guide):
    """Z of one sample [C, H, W] from a native core's state: version A, one layer, defaults."""
    s = {name: value.double().numpy() for name, value in state.items()}

    def linear(name, x):
        return np.einsum("ti,oi->to", x, s[name + ".weight"]) + s[name + ".bias"]

    def mix(name, x):
        bias = s[name + ".bias"][:, None, None]
        return np.einsum("chw,oc->ohw", x, s[name + ".weight"][:, :, 0, 0]) + bias

    raw, other = _pyramid(main), _pyramid(guide)
    t = linear("generator.token", raw)
    matrix = linear("generator.mlp.guide1_0", other).reshape(len(t), t.shape[1], t.shape[1])
    t = np.einsum("ti,tij->tj", t, matrix)
    t = np.maximum(
        _layer_norm(t, s["generator.mlp.norm_0.weight"], s["generator.mlp.norm_0.bias"]), 0
    )
    t = _layer_norm(
        linear("generator.out", t), s["generator.norm.weight"], s["generator.norm.bias"]
    )
    kernel = (t + linear("generator.raw", raw)).mean(0)
    side = int((len(kernel) / 4) ** 0.5)
    kernel = kernel.reshape(2, 2, side, side)
    first = _depthwise(main, s["cascade.depthwise0.weight"], s["cascade.depthwise0.bias"], 1)
    second = _depthwise(first, s["cascade.depthwise1.weight"], s["cascade.depthwise1.bias"], 3)
    u0, u1 = mix("selection.reduce0", first), mix("selection.reduce1", second)
    both = np.concatenate([u0, u1])
    maps = np.stack([both.mean(0), both.max(0)])
    pad = side // 2
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    height, width = maps.shape[1:]
    logits = np.zeros_like(maps)
    for i in range(side):
        for j in range(side):
            window = padded[:, i : i + height, j : j + width]
            logits += np.einsum("chw,oc->ohw", window, kernel[:, :, i, j])
    masks = 1 / (1 + np.exp(-logits))
    return guide * mix("selection.expand", u0 * masks[0] + u1 * masks[1])
