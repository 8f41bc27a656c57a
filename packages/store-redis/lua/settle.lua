--[[
  Replaces what a hold has set aside by what was used, once.

  KEYS      as in reserve.lua
  ARGV[1]   [now or -1 for the server's time, ms to remember the id, base of the owner's keys, id, instant of settlement in ms]
  ARGV[2]   charges (see includes/counter.lua), with the windows of that instant
  ARGV[3]   actual amounts of the charges

  An excess is added to the bucket of the instant; a surplus is given back only to a bucket that is still open then.
  Returns 1 settled, 2 late (the hold had expired or is unknown: the difference was charged), 0 closed before.
  Safe to run twice.
]]

--- @include partition
--- @include counter
--- @include hold

local given, closedFor, base, id, at = unpack(cjson.decode(ARGV[1]))
local charges = cjson.decode(ARGV[2])
local actuals = cjson.decode(ARGV[3])
local loaded = {}
for i, charge in ipairs(charges) do loaded[i] = partition(KEYS[3 + charge[C_KEY]]) end
local now = storeTime(given)
sweep(base, KEYS[2], KEYS[3], now, 8, closedFor)

local hold = readHold(KEYS[1])
if hold and hold.s == 'd' then
  writePartitions(now)
  return 0
end
local heldOf = {}
for _, held in ipairs(hold and hold.a or {}) do heldOf[held[A_KEY] .. ' ' .. held[A_NAME]] = held end

for i, charge in ipairs(charges) do
  local held = heldOf[loaded[i].key .. ' ' .. charge[C_NAME]]
  local reserved = held and held[A_AMOUNT] or 0
  local actual = actuals[i]
  if charge[C_KIND] == CONCURRENT then
    if held then giveBack(held, reserved, at) end
  elseif actual < reserved then
    giveBack(held, reserved - actual, at)
  elseif actual > reserved then
    local counter = loaded[i].c[charge[C_NAME]]
    local seen = view(counter, charge, at)
    local isOver = charge[C_KIND] == FIXED and counter and counter[KIND] == FIXED and counter[START] > seen.bucket
    if not isOver then add(loaded[i], charge, seen, actual - reserved) end
  end
end

local wasOpen = hold and hold.s == 'h'
closeHold(KEYS[1], id, KEYS[2], closedFor)
if not wasOpen then redis.call('HDEL', KEYS[3], id) end
writePartitions(now)
return wasOpen and 1 or 2
