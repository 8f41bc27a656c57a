--[[
  Sets the amounts of all charges aside, or none if any that may refuse has no room.

  KEYS[1]   hold
  KEYS[2]   open holds of the owner, by expiry
  KEYS[3]   expired holds of the owner
  KEYS[4..] partitions of the charges
  ARGV[1]   [now or -1 for the server's time, hold's lifetime in ms, ms to remember a closed id, base of the owner's keys, id, context]
  ARGV[2]   charges (see includes/counter.lua)

  Returns { outcome, now, then used, quota, tripped, reset, room of each charge }.
  Outcomes: 1 granted, 0 refused, 2 stale, 3 closed before. -1 stands for none.
  Safe to run twice: an open hold is granted again and adds nothing. A refusal changes no counter.
]]

--- @include partition
--- @include counter
--- @include hold

local given, lifetime, closedFor, base, id, context = unpack(cjson.decode(ARGV[1]))
local charges = cjson.decode(ARGV[2])
local loaded = {}
for i, charge in ipairs(charges) do loaded[i] = partition(KEYS[3 + charge[C_KEY]]) end
local now = storeTime(given)

for _, charge in ipairs(charges) do
  if isStale(charge, now) then return { 2, now } end
end

sweep(base, KEYS[2], KEYS[3], now, 8, closedFor)
local hold = readHold(KEYS[1])
if hold and hold.s ~= 'h' then
  writePartitions(now)
  return { 3, now }
end

local tripped, seen = {}, {}
for i, charge in ipairs(charges) do
  seen[i] = view(loaded[i].c[charge[C_NAME]], charge, now)
  tripped[i] = trips(seen[i], charge)
end
local granted = not hold and not refuses(charges, tripped)

local reply = { (granted or hold) and 1 or 0, now }
for i, charge in ipairs(charges) do addStatus(reply, loaded[i].c[charge[C_NAME]], charge, now, granted) end

if granted then
  local amounts = {}
  for i, charge in ipairs(charges) do
    add(loaded[i], charge, seen[i], charge[C_AMOUNT])
    amounts[i] = heldAmount(loaded[i].key, charge, seen[i])
  end
  writeHold(KEYS[1], id, KEYS[2], now + lifetime, context, amounts)
end
writePartitions(now)
return reply
