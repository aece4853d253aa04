"""An answer of a thousand pieces, as a language model gives it."""

CHUNKS = 1000
CHUNK = "piece of text, "


def init():
    pass


def run(data):
    for _ in range(CHUNKS):
        yield CHUNK
