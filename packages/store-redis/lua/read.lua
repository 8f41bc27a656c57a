--[[
  Tells where counters stand, and changes nothing.

  KEYS, ARGV as in reserve.lua. Returns { 1 (2: stale), now, then six figures of each charge as in reserve.lua, then how
  many nobody vouches for, their indices from 0, and their fences }.
]]

--- @include partition
--- @include counter
--- @include hold
--- @include charge

local charges = readCharges(ARGV[#ARGV])
local now = storeTime(given)
forget(now)
verify(prefixOf(base), run, opened, now)
local reply = { 1, now }
for _, charge in ipairs(charges) do
  if isStale(charge, now) then reply[1] = 2 end
  local record = charge.loaded.c[charge.name]
  local seen = view(record, charge, now)
  local tripped = seen.ended or isOver(seen.used, seen.quota, charge)
  addStatus(reply, record, seen, tripped, charge, now, 0)
end
local unknown = unknownOf(charges, now) or { 5, now, 0 }
for i = 3, #unknown do reply[#reply + 1] = unknown[i] end
return reply
