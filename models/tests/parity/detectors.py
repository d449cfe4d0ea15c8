"""Write what onnxruntime finds with the public detector files on the public photographs.

    python detectors.py DATA [--out FILE]

DATA is the folder that `UPWEAVE_DATA` names. Photographs are reduced to 1024 pixels (YuNet) or 128 (BlazePalm) by Pillow's bilinear
filter, which averages over what a pixel covers. Boxes: x, y, width, height in reduced pixels, confidence."""
import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

ort.set_default_logger_severity(3)
GROUPS = [f"faces-hands/human-samples/group-{n}.jpg" for n in (1, 3, 5)]
HANDS = [f"faces-hands/pexels-hands/pexels-{n}.jpg" for n in ("ricardo-utsumi-1314554", "daria-shevtsova-1578238")]


def reduced(path, longest):
    photo = Image.open(path).convert("RGB")
    scale = longest / max(photo.size)
    if scale < 1:
        photo = photo.resize([round(v * scale) for v in photo.size], Image.BILINEAR)
    return np.asarray(photo, np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def distinct(boxes, overlap=0.3):
    """Greedy suppression of boxes that overlap a surer one."""
    kept = []
    for b in sorted(boxes, key=lambda b: -b[4]):
        def share(k):
            w = min(b[0] + b[2], k[0] + k[2]) - max(b[0], k[0])
            h = min(b[1] + b[3], k[1] + k[3]) - max(b[1], k[1])
            common = max(w, 0) * max(h, 0)
            return common / (b[2] * b[3] + k[2] * k[3] - common)
        if all(share(k) <= overlap for k in kept):
            kept.append(b)
    return kept


def yunet(session, photo, least=0.6):
    h, w = photo.shape[:2]
    square = np.zeros((-(-h // 32) * 32, -(-w // 32) * 32, 3), np.float32)
    square[:h, :w] = photo[..., ::-1]
    names = [o.name for o in session.get_outputs()]
    out = dict(zip(names, session.run(None, {"input": square.transpose(2, 0, 1)[None]})))
    boxes = []
    for stride in (8, 16, 32):
        score = np.sqrt(out[f"cls_{stride}"][0, :, 0] * out[f"obj_{stride}"][0, :, 0])
        columns = square.shape[1] // stride
        for i in np.flatnonzero(score > least):
            dx, dy, bw, bh = out[f"bbox_{stride}"][0, i]
            cx, cy, bw, bh = (i % columns + dx) * stride, (i // columns + dy) * stride, np.exp(bw) * stride, np.exp(bh) * stride
            x0, y0, x1, y1 = max(cx - bw / 2, 0), max(cy - bh / 2, 0), min(cx + bw / 2, w), min(cy + bh / 2, h)
            boxes.append([x0, y0, x1 - x0, y1 - y0, score[i]])
    return distinct(boxes)


def blazepalm(session, photo):
    """The surest palm; where it lies does not matter here."""
    h, w = photo.shape[:2]
    square = np.zeros((128, 128, 3), np.float32)
    y, x = (128 - h) // 2, (128 - w) // 2
    square[y : y + h, x : x + w] = photo
    names = [o.name for o in session.get_outputs()]
    out = dict(zip(names, session.run(None, {"input": (square / 127.5 - 1).transpose(2, 0, 1)[None]})))
    return [[0, 0, 0, 0, sigmoid(out["classificators"].max())]]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("data", type=Path)
    p.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "golden" / "detectors.json")
    a = p.parse_args()
    work = {
        "yunet": ("yunet/yunet_n_dynamic.onnx", yunet, 1024, [*GROUPS, "kodak/15.png", "kodak/23.png"]),
        "blazepalm": ("blazepalm-onnx/palm_detection_barracuda.onnx", blazepalm, 128, [*HANDS, "kodak/23.png"]),
    }
    found = {}
    for name, (file, run, longest, photos) in work.items():
        session = ort.InferenceSession(a.data / "weights" / file)
        boxes = {photo: run(session, reduced(a.data / "bench" / photo, longest)) for photo in photos}
        found[name] = {k: [[round(float(v), 4) for v in box] for box in b] for k, b in boxes.items()}
    a.out.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    print({name: {k: len(b) for k, b in photos.items()} for name, photos in found.items()})


if __name__ == "__main__":
    main()
