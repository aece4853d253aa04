"""Serves an ``async def run``: requests are tasks of one event loop on the main thread, as many at once as arrive."""

import asyncio
import contextlib
import os

from azureml_scorer.deadline import ScoringTimeout


def serve(source, script):
    """Answers the requests of ``source``, a core or a worker, until there will be no more."""
    asyncio.run(_serve(source, script))


async def _serve(source, script):
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    tasks = set()
    bell, counts = source.bell()

    def look():
        if counts:
            with contextlib.suppress(BlockingIOError):
                os.read(bell, 8)
        while (request := source.try_next()) is not None:
            task = loop.create_task(_answer(script, request))
            # The loop itself holds its tasks weakly.
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if source.ended() and not ended.done():
            loop.remove_reader(bell)
            ended.set_result(None)

    loop.add_reader(bell, look)
    try:
        look()
        await ended
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        os.close(bell)


async def _answer(script, request):
    try:
        # The request is answered at its deadline by the core; here its task is only stopped.
        await asyncio.wait_for(script.answer_async(request), request.seconds_left)
    except asyncio.TimeoutError:
        script.failed(request, ScoringTimeout())
    except BaseException as error:
        script.failed(request, error)
    finally:
        request.release()
