"""RetinaFace with MobileNet 0.25, and its slim variant, written anew on plain PyTorch from what their tensors are called: what
`detectors.py` compares with, since no ONNX files of them are public."""
import torch
import torch.nn.functional as F

MEANS = torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
MOBILE = dict(edges=[[10, 20], [32, 64], [128, 256]], steps=[8, 16, 32])
SLIM = dict(edges=[[10, 16, 24], [32, 48], [64, 96], [128, 192, 256]], steps=[8, 16, 32, 64])


def load(path):
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    return {k.removeprefix("module."): v for k, v in state.items()}


class Net:
    """Layers by the names of their tensors."""

    def __init__(self, state):
        self.state = state

    def conv(self, x, name, stride=1, groups=1):
        w = self.state[f"{name}.weight"]
        return F.conv2d(x, w, self.state.get(f"{name}.bias"), stride, w.shape[-1] // 2, groups=groups)

    def norm(self, x, name):
        g = lambda what: self.state[f"{name}.{what}"]
        return F.batch_norm(x, g("running_mean"), g("running_var"), g("weight"), g("bias"), eps=1e-5)

    def normed(self, x, name, stride=1, relu=True, first=0):
        groups = x.shape[1] if self.state[f"{name}.{first}.weight"].shape[1] == 1 else 1
        y = self.norm(self.conv(x, f"{name}.{first}", stride, groups), f"{name}.{first + 1}")
        return y.relu() if relu else y

    def block(self, x, name, stride):
        return self.normed(self.normed(x, name, stride), name, first=3)

    def plain(self, x, name, stride=1):
        return self.conv(self.conv(x, f"{name}.0", stride, x.shape[1]).relu(), f"{name}.2")

    def further(self, x, name):
        near = self.normed(x, f"{name}.conv3X3", relu=False)
        shared = self.normed(x, f"{name}.conv5X5_1")
        middle = self.normed(shared, f"{name}.conv5X5_2", relu=False)
        far = self.normed(self.normed(shared, f"{name}.conv7X7_2"), f"{name}.conv7x7_3", relu=False)
        return torch.cat([near, middle, far], 1).relu()


def flat(y, values):
    return y.permute(0, 2, 3, 1).reshape(-1, values)


def mobile(net, x):
    levels = []
    for part, count in ((1, 6), (2, 6), (3, 2)):
        for i in range(count):
            name = f"body.stage{part}.{i}"
            if (part, i) == (1, 0):
                x = net.normed(x, name, 2)
            else:
                x = net.block(x, name, 2 if (part, i) in ((1, 2), (1, 4), (2, 0), (3, 0)) else 1)
        levels.append(x)
    a, b, c = (net.normed(x, f"fpn.output{i + 1}") for i, x in enumerate(levels))
    b = net.normed(b + F.interpolate(c, size=b.shape[2:], mode="nearest"), "fpn.merge2")
    a = net.normed(a + F.interpolate(b, size=a.shape[2:], mode="nearest"), "fpn.merge1")
    maps = [net.further(x, f"ssh{i + 1}") for i, x in enumerate((a, b, c))]
    heads = (("ClassHead", 2), ("BboxHead", 4))
    return maps, [torch.cat([flat(net.conv(m, f"{h}.{i}.conv1x1"), n) for i, m in enumerate(maps)]) for h, n in heads]


def slim(net, x):
    maps = []
    x = net.normed(x, "conv1", 2)
    for i in range(2, 14):
        x = net.block(x, f"conv{i}", 2 if i in (3, 5, 9, 12) else 1)
        if i in (8, 11, 13):
            maps.append(x)
    maps.append(net.plain(net.conv(x, "conv14.0").relu(), "conv14.2", 2).relu())
    tell = lambda m, name: net.conv(m, name) if f"{name}.weight" in net.state else net.plain(m, name)
    return maps, [
        torch.cat([flat(tell(m, f"{h}.{i}"), n) for i, m in enumerate(maps)]) for h, n in (("conf", 2), ("loc", 4))
    ]


@torch.no_grad()
def boxes(path, photo, least=0.6):
    """Boxes and confidences in a photograph, (height, width, 3), red first, 0 to 255; those that overlap are all in it."""
    net = Net(load(path))
    x = torch.from_numpy(photo[..., ::-1].copy()).permute(2, 0, 1)[None] - MEANS
    (maps, (classes, told)), squares = (slim(net, x), SLIM) if "conv14.0.weight" in net.state else (mobile(net, x), MOBILE)
    priors = []
    for m, edges, step in zip(maps, squares["edges"], squares["steps"]):
        for y in range(m.shape[2]):
            for x in range(m.shape[3]):
                priors += [[(x + 0.5) * step, (y + 0.5) * step, e, e] for e in edges]
    priors = torch.tensor(priors)
    centre = priors[:, :2] + told[:, :2] * 0.1 * priors[:, 2:]
    size = priors[:, 2:] * torch.exp(told[:, 2:] * 0.2)
    score = classes.softmax(-1)[:, 1]
    h, w = photo.shape[:2]
    low, high = (centre - size / 2).clamp(min=0), torch.minimum(centre + size / 2, torch.tensor([w, h]))
    found = torch.cat([low, high - low, score[:, None]], 1)
    return found[score > least].tolist()
