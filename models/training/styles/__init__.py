"""Pictures in the styles of the detail network, made by procedure: at random, or painted over photographs.

Each generator has `draw(rng, size)`, a picture from nothing, and those that can paint `paint(rng, photo)`; pictures are
(H, W, 3) float arrays 0..1, and the same generator state gives the same picture.
"""
