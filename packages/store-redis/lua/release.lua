--[[
  Gives back all that a hold has set aside, as if the call had never been, and closes its id: a reservation that is still
  on its way then finds it closed.

  KEYS[1]   hold
  KEYS[2]   open holds of the owner, by expiry
  KEYS[3]   expired holds of the owner
  ARGV[1]   [now or -1 for the server's time, ms to remember the id, base of the owner's keys, id]

  Partitions are those that the hold names; they live in the owner's slot. Returns 1, or 0 if it was closed before.
  Safe to run twice.
]]

--- @include partition
--- @include counter
--- @include hold

local given, closedFor, base, id = unpack(cjson.decode(ARGV[1]))
local now = storeTime(given)
sweep(base, KEYS[2], KEYS[3], now, 8, closedFor)

local hold = readHold(KEYS[1])
if hold and hold.s == 'd' then
  writePartitions(now)
  return 0
end
local amounts = hold and hold.a or {}
for _, held in ipairs(amounts) do partition(held[A_KEY]) end
now = storeTime(now)
for _, held in ipairs(amounts) do giveBack(held, held[A_AMOUNT], now) end
closeHold(KEYS[1], id, KEYS[2], closedFor)
if hold and hold.s == 'e' then redis.call('HDEL', KEYS[3], id) end
writePartitions(now)
return 1
