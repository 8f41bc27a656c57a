--[[
  Gives back all that a hold has set aside, as if the call had never been, and closes its id: a reservation that is still
  on its way then finds it closed.

  KEYS[1]   hold
  ARGV[1]   as in includes/charge.lua; the operation's number is 1 to forget the id instead: it is decided on again
  ARGV[2]   other owners that hold something for it, if the node knows

  Partitions are those that the hold names; they live in the owner's slot. Returns the other owners that the hold names.
  Safe to run twice.
]]

--- @include partition
--- @include counter
--- @include hold
--- @include charge

local before = first == 1 and redis.call('GET', base .. 'u:' .. id)
before = before and cmsgpack.unpack(before) or {}

-- What a counter was before the hold that is withdrawn, where that changed more than what is used.
local function recordBefore(held)
  local packed = before[held.key]
  return packed ~= '' and unpackPartition(held.key, packed).c[held.name] or nil
end

local function replace(loaded, record, was)
  local list = {}
  for _, each in ipairs(loaded.list) do
    if each ~= record then list[#list + 1] = each elseif was then list[#list + 1] = was end
  end
  loaded.list, loaded.c[record.name], loaded.changed = list, was, true
end

-- Makes a bucket what it was, unless it has been used by others meanwhile.
local function restore(held)
  if not before[held.key] then return end
  local loaded, was = partition(held.key), recordBefore(held)
  local record = loaded.c[held.name]
  if not record or record.kind ~= held.kind then return end
  local isSame = was and was.kind == record.kind and was.start == record.start
  if record.kind == 'S' then isSame = was and was.kind == 'S' and hasShape(was, record) end
  if isSame then
    if record.kind ~= 'S' then record.ends, record.quota, loaded.changed = was.ends, was.quota, true end
  elseif record.used == 0 and (record.top == 0 or was and was.top == record.top) then
    replace(loaded, record, was)
  end
end

local now = storeTime(given)
forget(now)
sweep(base, now, 8)
local hold = readHold(KEYS[1])
if not hold or hold.state == 'h' or hold.state == 'e' then
  for _, held in ipairs(hold and hold.amounts or {}) do
    if held.expiry ~= 'x' then partition(held.key) end
  end
  now = storeTime(now)
  for _, held in ipairs(hold and hold.amounts or {}) do
    if held.expiry ~= 'x' then
      -- What is withdrawn has never been, and may be in a bucket that was over already.
      giveBack(held, held.amount, first == 1 and -INF or now)
      restore(held)
    end
  end
  closeHold(KEYS[1], base, id, 'd', hold)
  if first == 1 then redis.call('DEL', KEYS[1], base .. 'u:' .. id) end
end
writePartitions(now)
return hold and hold.others or ''
