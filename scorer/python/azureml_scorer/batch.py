"""Several requests in one ``run()``."""


def batch(max_size=32, max_wait_ms=5):
    """Marks a ``run(rows)`` that takes the texts of several requests at once, and returns a list with one result for each.

    At most ``max_size`` requests come together. They are waited for only while several callers ask at once, for as long
    as a batch takes and ``max_wait_ms`` at most: a lone caller never waits. A result that is an exception fails its row
    alone. When ``run`` raises, each row of the batch is asked for alone, so that one caller's row fails no other's::

        from azureml_scorer import batch

        @batch(max_size=64, max_wait_ms=5)
        def run(rows):
            table = [json.loads(row)["data"] for row in rows]
            return model.predict(table).tolist()
    """
    if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < 1:
        raise ValueError(f"max_size must be a whole number from 1, not {max_size!r}")
    if not max_wait_ms >= 0:
        raise ValueError(f"max_wait_ms must not be negative, but is {max_wait_ms!r}")

    def mark(run):
        run.azureml_batch = (max_size, max_wait_ms / 1000)
        return run

    return mark
