-- The load of `bench router`: small JSON posts with the key. BODY_BYTES pads the body.
local size = tonumber(os.getenv("BODY_BYTES") or "0")
wrk.method = "POST"
wrk.body = '{"data": [[0.038, 0.05, 0.061, 0.021]]' .. string.rep(" ", size) .. "}"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer correct-horse-battery-staple"
