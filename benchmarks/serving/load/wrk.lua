-- Posts the files that BENCH_BODIES lists (separated by colons) in turn, and prints a line of JSON.
local requests, at = {}, 0

init = function()
  local headers = {["Content-Type"] = os.getenv("BENCH_CONTENT_TYPE")}
  for path in string.gmatch(os.getenv("BENCH_BODIES"), "[^:]+") do
    local file = io.open(path, "rb")
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end

request = function()
  at = at % #requests + 1
  return requests[at]
end

done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
