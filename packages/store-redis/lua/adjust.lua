--[[
  Resets, tops up or refunds one counter, once.

  KEYS, ARGV as in reserve.lua, with one charge; the operation's numbers are its instant, and 0 reset, 1 top-up, 2 refund.
  Returns 1, or 0 if the id was known, or nobody vouches for the counter. Safe to run twice.
]]

--- @include partition
--- @include counter
--- @include hold
--- @include charge

local charge = readCharges(ARGV[#ARGV])[1]
local loaded = charge.loaded
local now = storeTime(given)
forget(now)
verify(prefixOf(base), run, opened, now)
sweep(base, now, 8)

-- The record with the bucket of the instant as its current one.
local function recordFor(record, seen)
  if record and record.kind == charge.kind and (record.start == seen.bucket or record.start == NOT_BEGUN) then
    return record
  end
  local fresh = newRecord(charge, seen.bucket, seen.ends)
  if charge.kind == 'U' then notBegun(fresh, first) end
  return put(loaded, fresh, now)
end

-- From the newest step on, so that what leaves the window first stays.
local function takeBack(record, amount, seen)
  if record.kind ~= charge.kind then return end
  if record.kind == 'S' then
    if not hasShape(record, charge) then return end
    advance(record, seen.bucket)
  elseif record.start ~= seen.bucket then
    return
  end
  local left = min(amount, record.used)
  record.used = record.used - left
  for gone = 0, (record.places or 0) - 1 do
    local place = 1 + (record.start - gone) % record.places
    local taken = min(left, record.ring[place])
    record.ring[place] = record.ring[place] - taken
    left = left - taken
  end
end

local function adjust()
  local record = loaded.c[charge.name]
  local seen = view(record, charge, first)
  local isOver = charge.kind == 'F' and now >= seen.ends
  if second == 1 and not isOver then
    record = recordFor(record, seen)
    record.top = record.top + charge.amount
    if record.start == NOT_BEGUN then notBegun(record, first) end
  end
  if not record then return end
  loaded.changed = true
  if second == 2 then takeBack(record, charge.amount, seen) end
  if second == 0 then
    record.used = 0
    for i in ipairs(record.ring or {}) do record.ring[i] = 0 end
    if record.kind == 'U' then notBegun(record, now) end
  end
end

local reply = 0
local known = readHold(KEYS[1])
if not known then
  if isUnknown(loaded, charge, now) then
    leaveToLedger(charge, now)
  else
    adjust()
    closeHold(KEYS[1], base, id, 's', nil)
    reply = 1
  end
end
writePartitions(now)
return reply
