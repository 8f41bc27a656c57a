--[[
  Lets a hold live on; makes it again, without a decision, if this server doesn't have it.

  KEYS, ARGV as in reserve.lua. Returns 1, or 0 if the id was settled or released before. Safe to run twice.
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

local hold = readHold(KEYS[1])
local reply = 1
if hold and (hold.state == 's' or hold.state == 'd') then
  reply = 0
elseif hold and hold.state == 'h' then
  redis.call('SETRANGE', KEYS[1], 1, struct.pack('<d', now + first))
  unlistOpen(base, id)
  listOpen(base, id, now + first)
  announce(base, now)
else
  local amounts = {}
  for _, charge in ipairs(charges) do
    local held = heldIn(hold, charge)
    if not held and not isStale(charge, now) and not isUnknown(charge.loaded, charge, now) then
      local seen = view(charge.loaded.c[charge.name], charge, now)
      add(charge.loaded, charge, seen, charge.amount, now)
      held = heldOf(charge, seen)
    end
    amounts[#amounts + 1] = held
  end
  if hold then redis.call('HDEL', base .. 'x', id) end
  local made = { state = 'h', expires = now + first, admitted = now, amounts = amounts, tail = ARGV[2] }
  openHold(base, KEYS[1], id, made, now)
end
writePartitions(now)
return reply
