"""Fits how the blur of a picture follows from what its edges say (`nodes/src/measure/blur/`).

    UPWEAVE_FEATURES=features.txt cargo test --release --locked --workspace --test damage -- --ignored features_of
    python blur.py features.txt ../../nodes/src/measure/blur/weights.rs

A photograph has blur of its own, which adds in quadrature to the known one and is not known. So it is fitted along, one
number per picture, where the sharper pictures are pulled to none: what is measured is blur on top of a sharp photograph.
"""
import argparse

import numpy as np
import torch

HIDDEN = 16
STEPS = 2500
SHARP = 0.1    # share of the pictures that count as sharp
PULL = 0.03    # of the blur of their own
MIXED = 0.3    # weight of pictures that have noise or JPEG, too
FOLDS = 5


def read(path):
    lines = [line.split() for line in open(path)]
    return [line[0] for line in lines], np.array([[float(v) for v in line[1:]] for line in lines])


def network(inputs):
    return torch.nn.Sequential(torch.nn.Linear(inputs, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 1))


def truth(blur, own):
    return torch.sqrt(torch.clamp(blur * blur + own, min=0.0) + 1e-4)


def fit(x, blur, picture, weight, steps=STEPS, seed=0):
    """The network, and the squared blur that each picture has of its own."""
    torch.manual_seed(seed)
    x, blur, weight = (torch.tensor(v, dtype=torch.float32) for v in (x, blur, weight))
    picture = torch.tensor(picture)
    own = torch.zeros(int(picture.max()) + 1, requires_grad=True)
    net = network(x.shape[1])
    with torch.no_grad():
        net[-1].bias += 1.5
    optimiser = torch.optim.Adam([{"params": net.parameters()}, {"params": [own]}], lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=[1e-2, 3e-2], total_steps=steps)
    for _ in range(steps):
        said = net(x + 0.03 * torch.randn_like(x))[:, 0]
        true = truth(blur, own[picture])
        # Less than nothing is cut off anyhow.
        error = torch.where((true < 0.05) & (said < true), torch.zeros_like(said), said - true)
        loss = 2 * (weight * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=0.1)).mean()
        loss = loss + PULL * torch.where(own >= 0, SHARP * own, (SHARP - 1) * own).mean()
        loss = loss + 1e-5 * sum((p * p).sum() for p in (net[0].weight, net[2].weight))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net, own.detach()


def say(net, x):
    with torch.no_grad():
        return net(torch.tensor(x, dtype=torch.float32))[:, 0].clamp(min=0).numpy()


def doubts(said, features):
    """What the confidence is told by; the same as in `regression.rs`."""
    lone = features[:, 24:48].reshape(-1, 4, 6)
    spread = (lone[:, :, 3] - lone[:, :, 1]).mean(1) / (said + 0.5)
    apart = (lone[:, :, 2].max(1) - lone[:, :, 2].min(1)) / (said + 0.5)
    shares = lone[:, :, 5].mean(1)
    return np.stack([np.ones_like(said), said, spread, apart, shares, features[:, 48], features[:, 49], np.maximum(features[:, 49] + 2, 0) ** 2], 1)


def logistic(inputs, hit, weight):
    w = np.zeros(inputs.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-inputs @ w))
        h = (inputs * (weight * p * (1 - p))[:, None]).T @ inputs + 0.1 * np.eye(len(w))
        w += np.linalg.solve(h, inputs.T @ (weight * (hit - p)) - 0.1 * w)
    return w


def rust(name, about, values):
    def row(v):
        return "[" + ", ".join(row(r) if np.ndim(r) else f"{r:.5}" if "." in f"{r:.5}" else f"{r:.5}.0" for r in v) + "]"
    def shape(v):
        return f"[{shape(v[0])}; {len(v)}]" if np.ndim(v) > 1 else f"[f32; {len(v)}]"
    text = row([[float(f"{x:.4g}") for x in r] if np.ndim(r) else float(f"{r:.4g}") for r in values])
    return f"/// {about}\npub(super) static {name}: {shape(values)} = {text};\n"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("features")
    options.add_argument("weights")
    options = options.parse_args()
    names, table = read(options.features)
    blur, noise, quality, features = table[:, 0], table[:, 1], table[:, 2], table[:, 3:]
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    x = (features - mean) / deviation
    pictures, picture = np.unique(names, return_inverse=True)
    alone = (noise == 0) & (quality == 100)
    weight = np.where(alone, 1.0, MIXED)
    net, own = fit(x, blur, picture, weight)
    true = truth(torch.tensor(blur), own[torch.tensor(picture)]).numpy()
    print(f"{len(blur)} examples of {len(pictures)} pictures; rms {np.sqrt(np.mean((say(net, x) - true)[alone] ** 2)):.3f} px;",
          "squared blur of their own, quartiles:", np.percentile(own, [0, 25, 50, 75, 100]).round(2))

    # Photographs are left out with all their parts and sizes.
    photograph = np.unique([n.split("@")[0] for n in names], return_inverse=True)[1]
    said = np.zeros_like(blur)
    for fold in range(FOLDS):
        out = photograph % FOLDS == fold
        here = np.unique(picture[~out], return_inverse=True)[1]
        said[out] = say(fit(x[~out], blur[~out], here, weight[~out], STEPS // 2)[0], x[out])
    error = said - true
    hit = (np.abs(error) <= np.maximum(0.15, 0.1 * true)).astype(float)
    for low, high in ((0, 0.3), (0.3, 0.8), (0.8, 1.6), (1.6, 2.5), (2.5, 3.5), (3.5, 4.5)):
        m = alone & (true >= low) & (true < high)
        print(f"left out, {low} to {high} px: bias {error[m].mean():+.3f}, rms {np.sqrt(np.mean(error[m] ** 2)):.3f}, within {hit[m].mean():.0%}")
    inputs = doubts(said, features)
    sure = logistic(inputs, hit, weight)
    chance = 1 / (1 + np.exp(-inputs @ sure))
    for low in np.arange(0, 1, 0.2):
        m = (chance >= low) & (chance < low + 0.2)
        if m.any():
            print(f"confidence {low:.1f} to {low + 0.2:.1f}: {m.sum()} examples, within {hit[m].mean():.0%}")

    first, second = net[0], net[2]
    inner = first.weight.detach().numpy() / deviation
    offset = first.bias.detach().numpy() - inner @ mean
    outer, bias = second.weight.detach().numpy()[0], second.bias.item()
    with open(options.weights, "w") as file:
        file.write("//! Written by `models/training/blur.py`.\n\n")
        file.write(rust("INNER", "From the features to the hidden units.", inner) + "\n")
        file.write(rust("OFFSETS", "Of the hidden units.", offset) + "\n")
        file.write(rust("OUTER", "From the hidden units to the blur; the last number is its offset.", [*outer, bias]) + "\n")
        file.write(rust("DOUBTS", "From the reasons for doubt to the confidence.", sure))


if __name__ == "__main__":
    main()
