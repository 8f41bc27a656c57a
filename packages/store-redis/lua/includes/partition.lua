--[[
  Partitions: the counters that share dimension values, packed in one string. All numbers are little-endian.

  head       version (1), flags (1: some counter is not verified since the server changed, 2: some fixed or first-use one is
             topped up; 1 byte), server (4), last time seen, since when it is counted here, earliest expiry of the owner's
             holds, instant from which the owner is announced again (8 each), length of the list of open holds, and of
             the directory (2 each)
  directory  a line for each counter: kind (F fixed, S sliding, U first-use, E first-use that ends for good, L lifetime,
             C concurrent), for S the step's length and the number of places, a space, its name, a line feed
  records    in the order of the directory, of 8 bytes each
             F U E   start, end, used, quota (-1: none)
             L       used, quota, topped up
             C       used, quota
             S       latest step, used, first step that may be in use, then the places of the ring
  extras     only if some counter has one: for each 1 if it is not verified (1), topped up, counted until (8 each)
  open holds of the owner, in its home partition: id (after its length, 2) and expiry (8) of each; further ones are in the
             sorted set base .. 'o'

  Loaded once a script; written back once, and only if something changed.
]]

local HEAD = '<BBI4ddddI2I2c0'
local INF = math.huge
local floor, max, min = math.floor, math.max, math.min
local NOT_BEGUN, NOT_BEGUN_FOR = -1, 3600000
-- Where time is given by a test, that of the server's expiry is another.
local LEAST_LIFE = 5000

local partitions, order = {}, {}
local home

local function readRecord(record, packed, at)
  local kind = record.kind
  if kind == 'F' or kind == 'U' then
    record.start, record.ends, record.used, record.quota, at = struct.unpack('<dddd', packed, at)
  elseif kind == 'S' then
    record.start, record.used, record.first, at = struct.unpack('<ddd', packed, at)
    record.ring = { struct.unpack('<' .. string.rep('d', record.places), packed, at) }
    at = table.remove(record.ring)
  else
    record.start, record.ends = 0, INF
    record.used, record.quota, at = struct.unpack('<dd', packed, at)
    if kind == 'L' then record.top, at = struct.unpack('<d', packed, at) end
  end
  return at
end

local function readRecords(loaded, packed, directory, at)
  for letter, shape, name in string.gmatch(directory, '(%u)(%S*) ([^\n]*)\n') do
    local record = { kind = letter == 'E' and 'U' or letter, lasts = letter == 'E', name = name, top = 0, counted = -1 }
    local bucketMs, places = string.match(shape, '(%d+),(%d+)')
    record.bucketMs, record.places = tonumber(bucketMs), tonumber(places)
    at = readRecord(record, packed, at)
    loaded.list[#loaded.list + 1] = record
    loaded.c[name] = record
  end
  if at > #packed - #loaded.open then return end
  for _, record in ipairs(loaded.list) do
    local unverified, top
    unverified, top, record.counted, at = struct.unpack('<Bdd', packed, at)
    record.unverified = unverified == 1
    if record.kind ~= 'L' then record.top = top end
  end
end

local function unpackPartition(key, packed)
  local loaded = { key = key, known = false, run = 0, seen = 0, since = 0, due = 0, visit = 0, open = '', c = {}, list = {} }
  if packed then
    loaded.known, loaded.packed = true, packed
    local _, length, directory, at
    _, _, loaded.run, loaded.seen, loaded.since, loaded.due, loaded.visit, length, directory, at = struct.unpack(HEAD, packed)
    if length > 0 then loaded.open = string.sub(packed, -length) end
    readRecords(loaded, packed, directory, at)
  end
  return loaded
end

local function partition(key)
  if partitions[key] then return partitions[key] end
  local loaded = unpackPartition(key, redis.call('GET', key))
  partitions[key] = loaded
  order[#order + 1] = loaded
  return loaded
end

-- Everything of an owner, or of all, by a key of it.
local function baseOf(key) return string.match(key, '^(.*}:)%w:') end
local function prefixOf(base) return string.match(base, '^(.-){') end

-- The server's time in whole milliseconds, never below one that these partitions have seen.
local function storeTime(given)
  local now = given
  if now < 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + floor(time[2] / 1000)
  end
  for _, loaded in ipairs(order) do
    if loaded.seen > now then now = loaded.seen end
  end
  return now
end

-- Since when this server has counted everything: an absent counter has not been used since. On a Cluster nobody knows.
local function countedSince(prefix, run, opened, now)
  if not MARKS then return now end
  local key = prefix .. 'since'
  local marked, since = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  if tonumber(marked) == run then return tonumber(since) end
  since = opened >= 0 and opened or now
  redis.call('SET', key, string.format('%.0f %.0f', run, since))
  return since
end

-- A server that is another than the one that counted may have lost some of it: its long windows are to be verified.
local function verify(prefix, run, opened, now)
  if run == 0 then return end
  local since
  for _, loaded in ipairs(order) do
    if loaded.run ~= run then
      since = since or countedSince(prefix, run, opened, now)
      loaded.run, loaded.since = run, since
      for _, record in ipairs(loaded.list) do record.unverified = true end
    end
  end
end

-- Instant from which a counter says the same as none; infinite: never by itself.
local function endOf(record)
  if record.kind == 'S' then return (record.start + record.places) * record.bucketMs end
  if record.kind == 'C' then return record.used == 0 and 0 or INF end
  if record.lasts then return INF end
  return record.ends
end

-- What is over is as if it had never been.
local function forget(now)
  for _, loaded in ipairs(order) do
    for _, record in ipairs(loaded.list) do
      record.isOver = (record.kind == 'F' or record.kind == 'S') and endOf(record) <= now
      if record.kind == 'F' and record.isOver then record.start, record.used, record.top = -2, 0, 0 end
      if record.kind == 'U' and not record.lasts and record.start ~= NOT_BEGUN and record.ends <= now then
        record.start, record.ends, record.used, record.top = NOT_BEGUN, now + NOT_BEGUN_FOR, 0, 0
      end
    end
  end
end

-- Takes out what ended. First-use windows stay: that one is over is knowledge which another would have to look up.
local function prune(loaded, now)
  local list = {}
  for _, record in ipairs(loaded.list) do
    if record.kind == 'U' or endOf(record) > now then
      list[#list + 1] = record
    else
      loaded.c[record.name] = nil
    end
  end
  loaded.list = list
end

local function packRecord(record)
  local line = (record.lasts and 'E' or record.kind) .. ' ' .. record.name .. '\n'
  if record.kind == 'F' or record.kind == 'U' then
    return line, struct.pack('<dddd', record.start, record.ends, record.used, record.quota)
  end
  if record.kind == 'L' then return line, struct.pack('<ddd', record.used, record.quota, record.top) end
  if record.kind == 'C' then return line, struct.pack('<dd', record.used, record.quota) end
  return string.format('S%.0f,%.0f %s\n', record.bucketMs, record.places, record.name),
    struct.pack('<ddd', record.start, record.used, record.first)
      .. struct.pack('<' .. string.rep('d', record.places), unpack(record.ring))
end

local function packExtras(list)
  local extras, flags, isNeeded = {}, 0, false
  for i, record in ipairs(list) do
    if record.unverified then flags = flags - flags % 2 + 1 end
    if record.top ~= 0 and record.kind ~= 'L' and flags < 2 then flags = flags + 2 end
    isNeeded = isNeeded or flags > 0 or record.counted >= 0
    extras[i] = struct.pack('<Bdd', record.unverified and 1 or 0, record.top, record.counted)
  end
  return flags, isNeeded and table.concat(extras) or ''
end

-- Lays a partition out as these charges are, and what others count behind them: so the ordinary case of the script for
-- their shape finds it.
local function arrange(loaded, charges)
  local list, taken = {}, {}
  local function take(record)
    if record and not taken[record.name] then
      taken[record.name] = true
      list[#list + 1] = record
    end
  end
  for _, charge in ipairs(charges) do
    if charge.loaded == loaded then take(loaded.c[charge.name]) end
  end
  for _, record in ipairs(loaded.list) do take(record) end
  loaded.list = list
end

-- charges: what a call is decided or settled under; none elsewhere.
local function writePartitions(now, charges)
  for _, loaded in ipairs(order) do
    -- Only then: calls of two shapes would turn it around for each other.
    if loaded.grown and charges then arrange(loaded, charges) end
    if loaded.changed then
      local lines, records, last = {}, {}, now + 1
      for i, record in ipairs(loaded.list) do
        lines[i], records[i] = packRecord(record)
        last = max(last, endOf(record) + (loaded.run ~= 0 and GRACE or 0))
      end
      local directory = table.concat(lines)
      local flags, extras = packExtras(loaded.list)
      local packed = struct.pack(HEAD, 1, flags, loaded.run, now, loaded.since, loaded.due, loaded.visit,
        #loaded.open, #directory, directory) .. table.concat(records) .. extras .. loaded.open
      -- A head alone only spares looking: it lives as long as an announcement counts.
      if #records == 0 then last = max(last, now + ANNOUNCE_EVERY) end
      if last == INF or loaded.open ~= '' then
        redis.call('SET', loaded.key, packed)
      else
        redis.call('SET', loaded.key, packed, 'PX', string.format('%.0f', max(LEAST_LIFE, last - now)))
      end
    end
  end
end
