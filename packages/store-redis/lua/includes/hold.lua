--[[
  Holds, one string each. An open or expired one:

  state (h open, e expired), when it expires, when it was made (8 each), number of partitions (1), then for each its key
  and the lines of its counters as in its directory (each after its length, 2), for each line one letter (k kept when it
  expires, r given back then, x given back already), and bucket and amount of each line (8 each); then the other owners
  that hold something for the same call, one a line (a lone '*': this is one of those), a zero, and the context.

  A closed one: s settled or d given back, and the other owners.
]]

local function unpackHold(packed)
  local state = string.sub(packed, 1, 1)
  if state == 's' or state == 'd' then return { state = state, others = string.sub(packed, 2) } end
  local hold = { state = state, amounts = {}, packed = packed }
  local _, count, at
  _, hold.expires, hold.admitted, count, at = struct.unpack('<c1ddB', packed)
  for _ = 1, count do
    local partitionKey, lines
    partitionKey, lines, at = struct.unpack('<I2c0I2c0', packed, at)
    local group = {}
    for kind, shape, name in string.gmatch(lines, '(%u)(%S*) ([^\n]*)\n') do
      local bucketMs, places = string.match(shape, '(%d+),(%d+)')
      local held = { key = partitionKey, kind = kind == 'E' and 'U' or kind, name = name }
      held.bucketMs, held.places = tonumber(bucketMs), tonumber(places)
      group[#group + 1] = held
    end
    for i, held in ipairs(group) do held.expiry = string.sub(packed, at + i - 1, at + i - 1) end
    at = at + #group
    for _, held in ipairs(group) do
      held.bucket, held.amount, at = struct.unpack('<dd', packed, at)
      hold.amounts[#hold.amounts + 1] = held
    end
  end
  hold.tail = string.sub(packed, at)
  hold.others = string.match(hold.tail, '^[^%z]*')
  return hold
end

local function readHold(key)
  local packed = redis.call('GET', key)
  return packed and unpackHold(packed) or nil
end

local function lineOf(held)
  if held.kind ~= 'S' then return held.kind .. ' ' .. held.name .. '\n' end
  return string.format('S%.0f,%.0f %s\n', held.bucketMs, held.places, held.name)
end

local function packHold(hold)
  local groups, keys = {}, {}
  for _, held in ipairs(hold.amounts) do
    local group = groups[held.key]
    if not group then
      group = { lines = '', expiry = '', figures = '' }
      groups[held.key] = group
      keys[#keys + 1] = held.key
    end
    group.lines = group.lines .. lineOf(held)
    group.expiry = group.expiry .. held.expiry
    group.figures = group.figures .. struct.pack('<dd', held.bucket, held.amount)
  end
  local packed = struct.pack('<c1ddB', hold.state, hold.expires, hold.admitted, #keys)
  for _, key in ipairs(keys) do
    local group = groups[key]
    packed = packed .. struct.pack('<I2c0I2c0', #key, key, #group.lines, group.lines) .. group.expiry .. group.figures
  end
  return packed .. hold.tail
end

-- What a hold has set aside in the counter of a charge; nil also for what it has given back.
local function heldIn(hold, charge)
  for _, held in ipairs(hold and hold.amounts or {}) do
    if held.name == charge.name and held.key == charge.key and held.expiry ~= 'x' then return held end
  end
end

local function heldOf(charge, seen)
  return { key = charge.key, kind = charge.kind, name = charge.name, bucketMs = charge.bucketMs, places = charge.places,
    expiry = charge.expiry, bucket = seen.bucket, amount = charge.amount }
end

-- Takes back an amount from the bucket that it was reserved in, if that bucket is still open.
local function giveBack(held, amount, at)
  local loaded = partition(held.key)
  local record = loaded.c[held.name]
  if not record or record.kind ~= held.kind then return end
  if held.kind == 'S' then
    local kept = hasShape(record, held) and amountIn(record, held.bucket) or 0
    if kept > 0 then
      local left = max(0, kept - amount)
      record.ring[1 + held.bucket % record.places] = left
      record.used = record.used - (kept - left)
      loaded.changed = true
    end
  elseif record.start == held.bucket and at < record.ends then
    record.used = max(0, record.used - amount)
    loaded.changed = true
  end
end

-- So many bytes of open holds are listed in the home partition itself, which is read and written anyway.
local MOST_OPEN = 1024

local function listOpen(base, id, expires)
  home.changed = true
  if #home.open < MOST_OPEN then
    home.open = home.open .. struct.pack('<I2c0d', #id, id, expires)
  else
    redis.call('ZADD', base .. 'o', string.format('%.0f', expires), id)
  end
  if expires < home.due then home.due = expires end
end

local function unlistOpen(base, id)
  local at = 1
  while at <= #home.open do
    local each, _, after = struct.unpack('<I2c0d', home.open, at)
    if each == id then
      home.open, home.changed = string.sub(home.open, 1, at - 1) .. string.sub(home.open, after), true
      return
    end
    at = after
  end
  redis.call('ZREM', base .. 'o', id)
end

-- Ids of at most so many holds that are due, the earliest first; and when the earliest of all that are open is.
local function dueHolds(base, now, most)
  local due, at, earliest = {}, 1, INF
  while at <= #home.open do
    local id, expires
    id, expires, at = struct.unpack('<I2c0d', home.open, at)
    if expires <= now then due[#due + 1] = { id = id, expires = expires } end
    earliest = min(earliest, expires)
  end
  local further = redis.call('ZRANGEBYSCORE', base .. 'o', '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #further, 2 do due[#due + 1] = { id = further[i], expires = tonumber(further[i + 1]) } end
  local first = redis.call('ZRANGE', base .. 'o', 0, 0, 'WITHSCORES')
  if first[2] then earliest = min(earliest, tonumber(first[2])) end
  table.sort(due, function(one, other)
    return one.expires < other.expires or one.expires == other.expires and one.id < other.id
  end)
  return due, earliest
end

-- Remembers an id as closed, so that a repeat charges nothing.
local function closeHold(key, base, id, state, hold)
  redis.call('SET', key, state .. (hold and hold.others or ''), 'PX', CLOSED_FOR)
  if not hold then return end
  if hold.state == 'h' then unlistOpen(base, id) end
  if hold.state == 'e' then redis.call('HDEL', base .. 'x', id) end
end

local function expire(base, id, expires, now)
  local key = base .. 'h:' .. id
  local hold = readHold(key)
  -- While a slot moves, a hold can be on the other server still.
  if not hold and not MARKS and expires > now - CLOSED_FOR then return end
  unlistOpen(base, id)
  if not hold or hold.state ~= 'h' then return end
  for _, held in ipairs(hold.amounts) do
    if held.expiry == 'r' or held.kind == 'C' then
      giveBack(held, held.amount, now)
      held.expiry = 'x'
    end
  end
  hold.state = 'e'
  local packed = packHold(hold)
  redis.call('SET', key, packed, 'PX', CLOSED_FOR)
  if hold.others ~= '*' then redis.call('HSET', base .. 'x', id, packed) end
end

-- Expires at most `most` holds of an owner. Its home partition knows the earliest, so mostly nothing is looked up.
local function sweep(base, now, most)
  if home.known and home.due > now then return end
  local due, earliest = dueHolds(base, now, most)
  for i = 1, min(most, #due) do expire(base, due[i].id, due[i].expires, now) end
  if #due > 0 then
    local _
    _, earliest = dueHolds(base, now, 1)
  end
  if home.known and home.due ~= earliest then home.changed = true end
  home.due = earliest
end

-- Lets the slow sweep of any node find the owner's holds, should nobody ever decide on them again: at most once in
-- ANNOUNCE_EVERY, and where another slot keeps the list (a Cluster), the node does it.
local function announce(base, now)
  if not MARKS or home.visit > now then return end
  local prefix = prefixOf(base)
  local owner = string.sub(base, #prefix + 2, -3)
  local visit = redis.call('ZSCORE', prefix .. 'owners', owner)
  local nextVisit = visit and floor(tonumber(visit)) + 1 or now + VISIT_EVERY
  redis.call('ZADD', prefix .. 'owners', string.format('%.1f', nextVisit), owner)
  home.visit, home.changed = now + ANNOUNCE_EVERY, true
end

-- Writes an open hold and what finds it.
local function openHold(base, key, id, hold, now)
  redis.call('SET', key, packHold(hold))
  listOpen(base, id, hold.expires)
  announce(base, now)
end
