--[[
  Partitions: the counters that share dimension values, packed in one string.
  { t = last time seen, c = { [plan/limit] = counter } }, each counter a flat list:
  kind, start (or latest bucket), end (-1: never), used, quota at the start (-1: none), lasts, ms of a bucket, places of a sliding window
  Loaded once a script; written back once, and only if something changed.
]]

local FIXED, SLIDING, FIRST_USE, LIFETIME, CONCURRENT = 1, 2, 3, 4, 5
local KIND, START, END, USED, QUOTA, LASTS, BUCKET_MS, RING = 1, 2, 3, 4, 5, 6, 7, 7

local partitions, order = {}, {}

local function partition(key)
  local loaded = partitions[key]
  if loaded then return loaded end
  local packed = redis.call('GET', key)
  local value = packed and cmsgpack.unpack(packed) or { t = 0, c = {} }
  loaded = { key = key, t = value.t, c = value.c, changed = false }
  partitions[key] = loaded
  order[#order + 1] = loaded
  return loaded
end

local function forgettable(counter, now)
  local kind = counter[KIND]
  if kind == SLIDING then return now >= (counter[START] + #counter - RING) * counter[BUCKET_MS] end
  if kind == CONCURRENT then return counter[USED] == 0 end
  if kind == LIFETIME or counter[LASTS] == 1 then return false end
  return now >= counter[END]
end

-- Instant from which a counter says the same as none; nil: never by itself.
local function endOf(counter)
  local kind = counter[KIND]
  if kind == SLIDING then return (counter[START] + #counter - RING) * counter[BUCKET_MS] end
  if kind == LIFETIME or kind == CONCURRENT or counter[LASTS] == 1 then return nil end
  return counter[END]
end

local function writePartitions(now)
  for _, loaded in ipairs(order) do
    if loaded.changed then
      local last, endless, kept = now, false, false
      for name, counter in pairs(loaded.c) do
        if forgettable(counter, now) then
          loaded.c[name] = nil
        else
          kept = true
          local ending = endOf(counter)
          if not ending then endless = true elseif ending > last then last = ending end
        end
      end
      if not kept then
        redis.call('DEL', loaded.key)
      elseif endless then
        redis.call('SET', loaded.key, cmsgpack.pack({ t = now, c = loaded.c }))
      else
        redis.call('SET', loaded.key, cmsgpack.pack({ t = now, c = loaded.c }), 'PX', string.format('%.0f', last - now))
      end
    end
  end
end

-- The server's time in whole milliseconds, never below one that these partitions have seen.
local function storeTime(given)
  local now = given
  if now < 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  for _, loaded in ipairs(order) do
    if loaded.t > now then now = loaded.t end
  end
  return now
end
