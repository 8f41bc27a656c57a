--[[
  Tells where counters stand, and changes nothing.

  KEYS      partitions of the charges
  ARGV[1]   now, or -1 for the server's time
  ARGV[2]   charges (see includes/counter.lua)

  Returns { 1 or 2 (stale), now, then used, quota, tripped, reset, room of each charge }.
]]

--- @include partition
--- @include counter

local charges = cjson.decode(ARGV[2])
local loaded = {}
for i, charge in ipairs(charges) do loaded[i] = partition(KEYS[charge[C_KEY]]) end
local now = storeTime(tonumber(ARGV[1]))
local reply = { 1, now }
for i, charge in ipairs(charges) do
  if isStale(charge, now) then return { 2, now } end
  addStatus(reply, loaded[i].c[charge[C_NAME]], charge, now, false)
end
return reply
