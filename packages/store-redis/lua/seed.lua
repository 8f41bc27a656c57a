--[[
  Seeds counters that nobody vouched for with what the ledger says; where something is counted here all the same, with the
  larger of both.

  KEYS, ARGV as in reserve.lua; the operation's number is the instant up to which settlements are counted. A charge's
  amount is what is used, its quota that in force. Before the shape: ARGV[#ARGV - 3] start, end (-1: none), the bucket's
  quota and what was topped up of each charge; ARGV[#ARGV - 2] steps: charge, step, amount of each; ARGV[#ARGV - 1] the
  fence of each charge, then the ids that are closed.

  Returns 1, or 0 if something was settled meanwhile, or a counter is known by now. Safe to run twice.
]]

--- @include partition
--- @include counter
--- @include hold
--- @include charge

local charges = readCharges(ARGV[#ARGV])
local now = storeTime(given)
forget(now)
verify(prefixOf(base), run, opened, now)
sweep(base, now, 8)
local said = cjson.decode(ARGV[#ARGV - 3])
local steps = cjson.decode(ARGV[#ARGV - 2])
local fences = cjson.decode(ARGV[#ARGV - 1])

for i, charge in ipairs(charges) do
  -- One that is known by now was seeded with what another process read: of its ids, ours may not be.
  local isVoid = tonumber(redis.call('GET', baseOf(charge.key) .. 'f') or 0) ~= fences[i]
  if isVoid or not isUnknown(charge.loaded, charge, now) then
    writePartitions(now)
    return 0
  end
end

local function seedSliding(record, i)
  for _, step in ipairs(steps) do
    if step[1] == i - 1 and step[2] <= record.start and step[2] > record.start - record.places then
      local place = 1 + step[2] % record.places
      record.ring[place] = record.ring[place] + step[3]
      record.first = min(record.first, step[2])
    end
  end
end

local function larger(record, old)
  if record.kind ~= 'S' then
    if old.start > record.start then return old end
    if old.start == record.start then
      record.used, record.top = max(record.used, old.used), max(record.top, old.top)
    end
    return record
  end
  if not hasShape(record, old) then return record end
  for bucket = record.start - record.places + 1, record.start do
    local place = 1 + bucket % record.places
    record.ring[place] = max(record.ring[place], amountIn(old, bucket))
  end
  record.first = min(record.first, old.first)
  return record
end

local function seed(charge, i)
  local start, ends, quota, top = unpack(said[i])
  local old = charge.loaded.c[charge.name]
  if charge.kind == 'S' then start, ends = floor(now / charge.bucketMs), INF end
  local record = newRecord(charge, start, ends == -1 and INF or ends)
  if charge.kind == 'S' then
    seedSliding(record, i)
  else
    record.used, record.quota, record.top = charge.amount, quota, top
    if start == NOT_BEGUN then notBegun(record, now) end
  end
  if old and old.kind == record.kind then record = larger(record, old) end
  record.unverified = false
  if charge.kind == 'S' then
    record.used = 0
    for _, amount in ipairs(record.ring) do record.used = record.used + amount end
  end
  if record ~= old then put(charge.loaded, record, now) end
  record.counted, charge.loaded.changed = first, true
end

for i, charge in ipairs(charges) do
  if isUnknown(charge.loaded, charge, now) then seed(charge, i) end
end
for i = #charges + 1, #fences do
  redis.call('SET', base .. 'h:' .. fences[i], 's', 'NX', 'PX', CLOSED_FOR)
end
writePartitions(now)
return 1
