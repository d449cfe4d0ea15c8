"""Write what onnxruntime finds with the public detector files on the public photographs; of RetinaFace there are no ONNX files, so
`retinaface.py` computes it with PyTorch. The weights are those of the files; a seed cuts other parts out of the photographs.

    python detectors.py DATA [--arch NAME ...] [--seed N] [--out FOLDER]

DATA is the folder that `UPWEAVE_DATA` names. Photographs are reduced to 1024 pixels (YuNet), 640 (RetinaFace), 128 (BlazePalm), or
stretched to 320x240 (Ultra-Light, whose files take no other size) by Pillow's bilinear filter, which averages over what a pixel covers.
Boxes: x, y, width, height in these pixels, confidence; `cut` is how many pixels a photograph has lost before at each side (left, top,
right, bottom). Without `--arch` all are written, else those are replaced."""
import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

import retinaface

ort.set_default_logger_severity(3)
GROUPS = [f"faces-hands/human-samples/group-{n}.jpg" for n in (1, 3, 5)]
PHOTOS = [*GROUPS, "kodak/15.png", "kodak/23.png"]
HANDS = [f"faces-hands/pexels-hands/pexels-{n}.jpg" for n in ("ricardo-utsumi-1314554", "daria-shevtsova-1578238")]


def cuts(photo, seed):
    """Up to a twentieth of each side; nothing for the seed 0."""
    if seed == 0:
        return [0] * 4
    width, height = photo.size
    g = np.random.default_rng([seed, width, height])
    return [int(g.integers(0, side // 20 + 1)) for side in (width, height, width, height)]


def reduced(photo, cut, longest):
    """`longest` is a side, or a whole size. Values are rounded once, at the end: one of 256 more or less moves doubtful boxes."""
    left, top, right, bottom = cut
    photo = photo.crop((left, top, photo.width - right, photo.height - bottom))
    scale = 1 if isinstance(longest, tuple) else min(longest / max(photo.size), 1)
    size = longest if isinstance(longest, tuple) else tuple(round(v * scale) for v in photo.size)
    if size == photo.size:
        return np.asarray(photo, np.float32)
    planes = [plane.convert("F").resize(size, Image.BILINEAR) for plane in photo.split()]
    return np.stack([np.asarray(plane) for plane in planes], -1).round().clip(0, 255).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def distinct(boxes, overlap=0.3, tie=0.002):
    """Greedy suppression of boxes that overlap a surer one. Each face is a list of boxes: the surest, and those that are as sure but
    for what last bits decide."""
    faces = []
    for b in sorted(boxes, key=lambda b: -b[4]):
        def share(k):
            w = min(b[0] + b[2], k[0] + k[2]) - max(b[0], k[0])
            h = min(b[1] + b[3], k[1] + k[3]) - max(b[1], k[1])
            common = max(w, 0) * max(h, 0)
            return common / (b[2] * b[3] + k[2] * k[3] - common)
        known = next((face for face in faces if share(face[0]) > overlap), None)
        if known is None:
            faces.append([b])
        elif known[0][4] - b[4] < tie:
            known.append(b)
    return faces


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
    return [[[0, 0, 0, 0, sigmoid(out["classificators"].max())]]]


def ultra_light(session, photo, least=0.6):
    scores, corners = session.run(["scores", "boxes"], {"input": ((photo - 127) / 128).transpose(2, 0, 1)[None]})
    h, w = photo.shape[:2]
    sure = scores[0, :, 1] > least
    corners = (corners[0, sure] * [w, h, w, h]).clip(0, [w, h, w, h])
    return distinct([[x0, y0, x1 - x0, y1 - y0, s] for (x0, y0, x1, y1), s in zip(corners, scores[0, sure, 1])])


def retina(path, photo):
    return distinct(retinaface.boxes(path, photo))


WORK = {
    "yunet": ("yunet/yunet_n_dynamic.onnx", yunet, 1024, PHOTOS),
    "yunet_s": ("yunet/yunet_s_dynamic.onnx", yunet, 1024, PHOTOS),
    "blazepalm": ("blazepalm-onnx/palm_detection_barracuda.onnx", blazepalm, 128, [*HANDS, "kodak/23.png"]),
    "retinaface": ("retinaface-mb025/mobilenet0.25_Final.pth", retina, 640, PHOTOS),
    "retinaface_slim": ("retinaface-mb025/slim_Final.pth", retina, 640, PHOTOS),
    "ultralight_slim": ("ultralight-face/version-slim-320.onnx", ultra_light, (320, 240), PHOTOS),
    "ultralight_rfb": ("ultralight-face/version-RFB-320.onnx", ultra_light, (320, 240), PHOTOS),
}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path)
    p.add_argument("--arch", nargs="+", choices=WORK, default=list(WORK), metavar="NAME")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "golden")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    path = a.out / "detectors.json"
    found = json.loads(path.read_text()) if path.exists() and len(a.arch) < len(WORK) else {}
    for name in a.arch:
        file, run, longest, photos = WORK[name]
        file = a.data / "weights" / file
        net = ort.InferenceSession(file) if file.suffix == ".onnx" else file
        rounded = lambda box: [round(float(v), 4) for v in box]
        found[name] = {}
        for photo_path in photos:
            photo = Image.open(a.data / "bench" / photo_path).convert("RGB")
            cut = cuts(photo, a.seed)
            faces = run(net, reduced(photo, cut, longest))
            found[name][photo_path] = {"cut": cut, "faces": [[rounded(box) for box in face] for face in faces]}
        print(name, {k: len(b["faces"]) for k, b in found[name].items()})
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
