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

-- A bucket that only began with what is withdrawn has not begun.
local function unbegin(held, admitted)
  local loaded = partition(held.key)
  local record = loaded.c[held.name]
  if not record or record.kind ~= held.kind or record.start ~= held.bucket or record.used > 0 then return end
  if held.kind == 'U' and record.start == admitted then notBegun(record, admitted) end
  if held.kind == 'F' and record.top == 0 and record.counted < 0 then record.ends = 0; prune(loaded, 0) end
  loaded.changed = true
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
      giveBack(held, held.amount, now)
      if first == 1 then unbegin(held, hold.admitted) end
    end
  end
  closeHold(KEYS[1], base, id, 'd', hold)
  if first == 1 then redis.call('DEL', KEYS[1]) end
end
writePartitions(now)
return hold and hold.others or ''
