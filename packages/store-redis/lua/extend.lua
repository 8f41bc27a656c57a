--[[
  Lets a hold live on; makes it again, without a decision, if this server doesn't have it.

  KEYS and ARGV as in reserve.lua. Returns 1, or 0 if the id was settled or released before.
  Safe to run twice.
]]

--- @include partition
--- @include counter
--- @include hold

local given, lifetime, closedFor, base, id, context = unpack(cjson.decode(ARGV[1]))
local charges = cjson.decode(ARGV[2])
local loaded = {}
for i, charge in ipairs(charges) do loaded[i] = partition(KEYS[3 + charge[C_KEY]]) end
local now = storeTime(given)
sweep(base, KEYS[2], KEYS[3], now, 8, closedFor)

local hold = readHold(KEYS[1])
if hold and hold.s == 'd' then
  writePartitions(now)
  return 0
end

local amounts = hold and hold.s == 'h' and hold.a or nil
if not amounts then
  local kept = {}
  for _, held in ipairs(hold and hold.a or {}) do kept[held[A_KEY] .. ' ' .. held[A_NAME]] = held end
  amounts = {}
  for i, charge in ipairs(charges) do
    local held = kept[loaded[i].key .. ' ' .. charge[C_NAME]]
    if not held and not isStale(charge, now) then
      local seen = view(loaded[i].c[charge[C_NAME]], charge, now)
      add(loaded[i], charge, seen, charge[C_AMOUNT])
      held = heldAmount(loaded[i].key, charge, seen)
    end
    amounts[#amounts + 1] = held
  end
  redis.call('HDEL', KEYS[3], id)
end
writeHold(KEYS[1], id, KEYS[2], now + lifetime, context, amounts)
writePartitions(now)
return 1
