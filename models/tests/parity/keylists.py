"""The lists of keys and shapes of published files: a name and `[shape]` a line."""


def listed(folder, name):
    """Names and shapes of a list."""
    for line in (folder / f"{name}.txt").read_text().splitlines():
        key, shape = line.rsplit(" ", 1)
        yield key, [int(side) for side in shape.strip("[]").split(",") if side]
