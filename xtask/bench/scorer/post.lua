wrk.method = "POST"
wrk.body = '{"data": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}'
wrk.headers["Content-Type"] = "application/json"
