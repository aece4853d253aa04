"""Results that are sent piece by piece."""


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
