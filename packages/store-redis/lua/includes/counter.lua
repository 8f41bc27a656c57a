--[[
  One counter as a charge sees it; the same arithmetic as counter-view.ts in @tallygate/core.
]]

-- Amount in a step of a sliding counter; 0 outside what is kept.
local function amountIn(record, bucket)
  if bucket > record.start or bucket <= record.start - record.places then return 0 end
  return record.ring[1 + bucket % record.places]
end

local function hasShape(record, shape)
  return record.bucketMs == shape.bucketMs and record.places == shape.places
end

local function oldest(record, latest)
  return max(latest, record.start) - record.places + 1
end

local function plus(quota, record)
  return quota < 0 and -1 or quota + (record and record.top or 0)
end

local function inForce(record, charge)
  return plus(charge.keepsQuota and record.quota or charge.quota, record)
end

local function isStale(charge, now)
  return charge.kind == 'F' and (now < charge.starts or now >= charge.nextEnds)
end

local function viewFixed(known, charge, now)
  local starts, ends = charge.starts, charge.ends
  if now >= ends then starts, ends = ends, charge.nextEnds end
  if known and known.start == starts then
    local stays = charge.keepsDuration and known.ends or ends
    return { bucket = starts, ends = stays, used = known.used, quota = inForce(known, charge) }
  end
  if known and known.start <= now and now < known.ends and charge.keepsDuration then
    return { bucket = known.start, ends = known.ends, used = known.used, quota = inForce(known, charge) }
  end
  return { bucket = starts, ends = ends, used = 0, quota = charge.quota }
end

local function viewFirstUse(known, charge, now)
  if not known or known.start == NOT_BEGUN then
    return { bucket = now, ends = now + charge.duration, used = 0, quota = plus(charge.quota, known) }
  end
  local ends = charge.keepsDuration and known.ends or known.start + charge.duration
  if now >= ends and charge.restarts then
    return { bucket = now, ends = now + charge.duration, used = 0, quota = charge.quota }
  end
  return { bucket = known.start, ends = ends, used = known.used, quota = inForce(known, charge), ended = now >= ends }
end

local function viewSliding(known, charge, now)
  local bucket, used = floor(now / charge.bucketMs), 0
  if known and hasShape(known, charge) then
    used = known.used
    for gone = 0, min(bucket - known.start, known.places) - 1 do
      used = used - amountIn(known, known.start - known.places + 1 + gone)
    end
  end
  return { bucket = bucket, ends = INF, used = used, quota = charge.quota }
end

local function view(record, charge, now)
  local known = record and record.kind == charge.kind and record or nil
  if charge.kind == 'F' then return viewFixed(known, charge, now) end
  if charge.kind == 'S' then return viewSliding(known, charge, now) end
  if charge.kind == 'U' then return viewFirstUse(known, charge, now) end
  return { bucket = 0, ends = INF, used = known and known.used or 0, quota = plus(charge.quota, known) }
end

local function isOver(used, quota, charge)
  if quota < 0 then return false end
  if charge.trip == 0 then return used + charge.amount > quota end
  if charge.trip == 1 then return used >= quota end
  return used > quota
end

-- An AND, and an OR of ANDs.
local function refuses(charges, tripped)
  local alternatives, full, count, fullCount = {}, {}, 0, 0
  for i, charge in ipairs(charges) do
    local alternative = charge.alternative
    local inTheWay = tripped[i] and charge.effect == 0
    if alternative == 0 then
      if inTheWay then return true end
    else
      if not alternatives[alternative] then alternatives[alternative], count = true, count + 1 end
      if inTheWay and not full[alternative] then full[alternative], fullCount = true, fullCount + 1 end
    end
  end
  return count > 0 and fullCount == count
end

local function resetAt(record, seen, charge)
  if charge.kind ~= 'S' then return (seen.ended or seen.ends == INF) and -1 or seen.ends end
  if record and record.kind == 'S' and hasShape(record, charge) then
    for bucket = oldest(record, seen.bucket), seen.bucket - 1 do
      if amountIn(record, bucket) > 0 then return (bucket + charge.places) * charge.bucketMs end
    end
  end
  return (seen.bucket + charge.places) * charge.bucketMs
end

local function roomAt(record, seen, charge, now)
  if seen.ended or isOver(0, charge.quota, charge) then return -1 end
  if charge.kind == 'F' then return seen.ends end
  if charge.kind == 'U' then return charge.restarts and seen.ends or -1 end
  if charge.kind == 'L' then return -1 end
  if charge.kind == 'C' then return now + 1000 end
  if not record then return -1 end
  local used = seen.used
  for bucket = oldest(record, seen.bucket), seen.bucket do
    used = used - amountIn(record, bucket)
    if not isOver(used, seen.quota, charge) then return (bucket + charge.places) * charge.bucketMs end
  end
  return -1
end

-- Appends used, quota, start, tripped, reset and room of a charge to a reply.
local function addStatus(reply, record, seen, tripped, charge, now, added)
  local n = #reply
  reply[n + 1] = seen.used + added
  reply[n + 2] = seen.quota
  reply[n + 3] = (charge.kind == 'F' or charge.kind == 'U') and seen.bucket or -1
  reply[n + 4] = tripped and 1 or 0
  reply[n + 5] = resetAt(record, seen, charge)
  reply[n + 6] = tripped and roomAt(record, seen, charge, now) or now
end

-- Whether the store can't vouch for a counter: it may have been used before this server began to count it.
local function isUnknown(loaded, charge, now)
  if not charge.isRebuilt or charge.kind == 'C' then return false end
  local record = loaded.c[charge.name]
  if record and record.kind == charge.kind and not record.unverified and not record.isOver then return false end
  if charge.kind == 'F' then return (now >= charge.ends and charge.ends or charge.starts) < loaded.since end
  if charge.kind == 'S' then
    local oldestMs = (floor(now / charge.bucketMs) - charge.places + 1) * charge.bucketMs
    return oldestMs < loaded.since or oldestMs <= tonumber(redis.call('GET', baseOf(loaded.key) .. 's') or -1)
  end
  return true
end

local function newRecord(charge, bucket, ends)
  local record = { kind = charge.kind, name = charge.name, start = bucket, ends = ends, used = 0, quota = charge.quota }
  record.top, record.counted = 0, -1
  record.lasts = charge.kind == 'U' and not charge.restarts
  if charge.kind == 'S' then
    record.bucketMs, record.places, record.first, record.ring = charge.bucketMs, charge.places, bucket, {}
    for i = 1, charge.places do record.ring[i] = 0 end
  end
  return record
end

-- Puts a record in the place of that of the same name.
local function put(loaded, record, now)
  loaded.changed = true
  local old = loaded.c[record.name]
  if not old then prune(loaded, now) end
  loaded.c[record.name] = record
  if not old then
    loaded.list[#loaded.list + 1] = record
    loaded.grown = true
    return record
  end
  if record.counted < old.counted then record.counted = old.counted end
  for i, each in ipairs(loaded.list) do
    if each == old then loaded.list[i] = record end
  end
  return record
end

-- Makes a step the latest of a sliding counter, emptying the places of those that left.
local function advance(record, bucket)
  if bucket <= record.start then return end
  for emptied = max(record.start + 1, bucket - record.places + 1), bucket do
    local place = 1 + emptied % record.places
    record.used = record.used - record.ring[place]
    record.ring[place] = 0
  end
  record.start = bucket
end

-- Whether counting in the bucket of a view changes no more than what is used.
local function isAsSeen(record, charge, seen)
  if not record or record.kind ~= charge.kind then return false end
  if charge.kind == 'S' then return hasShape(record, charge) end
  if charge.kind == 'L' or charge.kind == 'C' then return true end
  if record.start ~= seen.bucket or record.ends ~= seen.ends then return false end
  return charge.keepsQuota or record.quota == charge.quota
end

-- Counts an amount in the bucket of a view, and makes that bucket the current one.
local function add(loaded, charge, seen, amount, now)
  local record = loaded.c[charge.name]
  loaded.changed = true
  if charge.kind == 'S' then
    if not record or record.kind ~= 'S' or not hasShape(record, charge) then
      record = put(loaded, newRecord(charge, seen.bucket, INF), now)
    end
    advance(record, seen.bucket)
    if seen.bucket > record.start - record.places then
      local place = 1 + seen.bucket % record.places
      record.ring[place] = record.ring[place] + amount
      record.used = record.used + amount
      record.first = min(record.first, seen.bucket)
    end
    return
  end
  if not record or record.kind ~= charge.kind or record.start ~= seen.bucket then
    local top = record and record.kind == charge.kind and record.start == NOT_BEGUN and record.top or 0
    record = put(loaded, newRecord(charge, seen.bucket, seen.ends), now)
    record.top = top
  end
  if not charge.keepsQuota then record.quota = charge.quota end
  record.ends = seen.ends
  record.used = record.used + amount
end

-- One that is topped up waits for its first use, however late.
local function notBegun(record, now)
  record.start, record.ends, record.used = NOT_BEGUN, record.top > 0 and INF or now + NOT_BEGUN_FOR, 0
end
