"""Results that are sent piece by piece."""

import time


class Begun:
    """An iterator over chunks whose first one is there already; closing it closes what it iterates over."""

    def __init__(self, chunks, request):
        self._chunks = chunks
        self._end = object()
        # Under the request's deadline, like the rest of the script's work until the answer begins.
        self.first = request.call(next, (chunks, self._end), {})
        self._waits = self.first is not self._end
        self._done = not self._waits

    def __iter__(self):
        return self

    def __next__(self):
        if self._waits:
            self._waits = False
            return self.first
        if self._done:
            raise StopIteration
        return next(self._chunks)

    def close(self):
        self._done, self._waits = True, False
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


def read(file, size):
    """The chunks of a file-like object, which is closed at the end."""
    try:
        while True:
            chunk = file.read(size)
            if not chunk:
                return
            yield chunk
    finally:
        close = getattr(file, "close", None)
        if close is not None:
            close()


def closing(response):
    """The chunks of a Flask or Werkzeug response, which is closed at the end."""
    try:
        yield from response.response if response.direct_passthrough else response.iter_encoded()
    finally:
        response.close()


def drive(chunks):
    """The chunks of an async iterator, run by an event loop of its own."""
    import asyncio

    loop = asyncio.new_event_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(chunks.__anext__())
            except StopAsyncIteration:
                return
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            loop.run_until_complete(close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


# Bytes that may wait for a slow caller before the script is asked for more.
_MOST_KEPT = 256 * 1024


async def send_async(request, chunks, started):
    """Sends what an async iterator gives, in the event loop that serves the request."""
    import asyncio

    from azureml_scorer.results import type_of

    begun = False
    try:
        async for chunk in chunks:
            if not begun:
                begun = True
                request.ran(time.perf_counter() - started)
                if not request.begin(200, [("content-type", type_of(chunk))]):
                    return
            kept = request.send(chunk)
            while kept is not None and kept > _MOST_KEPT:
                await asyncio.sleep(0.005)
                kept = request.send(b"")
            if kept is None:
                return
        if begun:
            request.end(True)
        else:
            request.reply(200, [("content-type", type_of(""))], b"", False)
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
        if begun:
            request.end(False)
