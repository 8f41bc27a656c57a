--[[
  Expires the holds of one owner that are due, and lists the expired ones that nobody acknowledged.

  KEYS[1]   open holds of the owner, by expiry
  KEYS[2]   expired holds of the owner
  ARGV[1]   [now or -1 for the server's time, most, ms to remember the ids, base of the owner's keys]

  Returns { open holds left, then id, expired at, context of each }.
  Safe to run twice: a hold stays listed until it is acknowledged.
]]

--- @include partition
--- @include counter
--- @include hold

local given, most, closedFor, base = unpack(cjson.decode(ARGV[1]))
local now = storeTime(given)
sweep(base, KEYS[1], KEYS[2], now, most, closedFor)
writePartitions(now)

local reply = { redis.call('ZCARD', KEYS[1]) }
local listed = redis.call('HSCAN', KEYS[2], '0', 'COUNT', most)[2]
for i = 1, #listed, 2 do
  local expired = cmsgpack.unpack(listed[i + 1])
  reply[#reply + 1] = listed[i]
  reply[#reply + 1] = expired[1]
  reply[#reply + 1] = expired[2]
end
return reply
