-- What wrk sends: `wrk -s scenario.lua URL -- MODE KEYS DEPTH RUN [close]`
--   MODE   get, set or mixed (90 % get) over KEYS keys that are there already;
--          new: sets of keys that nobody has set before
--   DEPTH  requests that are sent at once on a connection
--   RUN    in the keys of `new`: another number for each run
--   close  each request asks for the connection to be closed
-- The requests are made before they are sent. At the end one line of JSON says what came.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local random = math.random
local VALUE_BYTES = 100

-- A request whose key and value are put in later: the text before the path, and the text after it.
local function around(close)
  if close then wrk.headers["Connection"] = "close" end
  return wrk.format("GET", "/TARGET"):match("^(.*)/TARGET(.*)$")
end

local function value(key)
  return key .. "-" .. string.rep("v", VALUE_BYTES - 1 - #key)
end

-- DEPTH requests a piece, each key once.
local function batches(keys, depth, text)
  local all, batch = {}, {}
  for i = 0, keys - 1 do
    batch[#batch + 1] = text(string.format("k%09d", i))
    if #batch == depth then
      all[#all + 1] = table.concat(batch)
      batch = {}
    end
  end
  return all
end

function init(args)
  local mode, keys, depth, run = args[1], tonumber(args[2]), tonumber(args[3]), args[4]
  local before, after = around(args[5] == "close")
  math.randomseed(number * 7919 + 17)

  if mode == "new" then
    local prefix = before .. "/set?" .. string.format("%04d%02d", run, number)
    local rest = "=" .. string.rep("v", VALUE_BYTES) .. after
    local n = 0
    request = function()
      n = n + 1
      return prefix .. string.format("%010d", n) .. rest
    end
    return
  end

  local gets = batches(keys, depth, function(key) return before .. "/get?key=" .. key .. after end)
  local sets = mode ~= "get" and batches(keys, depth, function(key)
    return before .. "/set?" .. key .. "=" .. value(key) .. after
  end)
  local n = #gets
  if mode == "get" then
    request = function() return gets[random(n)] end
  elseif mode == "set" then
    request = function() return sets[random(n)] end
  else
    request = function() return (random(10) == 1 and sets or gets)[random(n)] end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '@{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
