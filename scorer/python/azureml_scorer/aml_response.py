"""What a score script returns to choose status and headers."""


class AMLResponse:
    """An answer with a status code and headers of its own.

    ``message`` is text or bytes, or with ``json_str`` any JSON value. A status of 500 and above marks the
    function as failed, whatever ``run_function_failed`` says.
    """

    def __init__(self, message, status_code, response_headers=None, json_str=False, run_function_failed=False):
        self.message = message
        self.status_code = int(status_code)
        self.response_headers = dict(response_headers or {})
        self.json_str = json_str
        self.run_function_failed = run_function_failed
