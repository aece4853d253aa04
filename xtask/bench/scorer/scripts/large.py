"""A model of 300 MB, all of which each score looks at: pages that were not shared would be by now."""

import json

SIZE = 300_000_000
_PAGE = 4096


def init():
    global model
    model = bytearray(SIZE)
    # Written to, so that every page is there.
    for place in range(0, SIZE, _PAGE):
        model[place] = 1


def run(data):
    return {"sum": sum(json.loads(data)["data"]), "pages": sum(memoryview(model)[::_PAGE])}
