--[[
  Sets the amounts of all charges aside, or none if any that may refuse has no room.

  KEYS, ARGV: see includes/charge.lua; the operation's number is the hold's lifetime in ms. ARGV[#ARGV] is the shape,
  where it is not baked into the script.

  Returns { outcome, now, then used, quota, start, tripped, reset, room of each charge }, -1 for none.
  Outcomes: 1 granted, 4 granted again, 0 refused, 2 stale, 3 closed before; 5 unknown: see includes/charge.lua.
  Safe to run twice: an open hold is granted again and adds nothing. A refusal changes no counter.
]]

--- @include partition
--- @include counter
--- @include hold
--- @include charge

local UNDONE_WITHIN = 60000
local charges = readCharges(SHAPE or ARGV[#ARGV])
local now = storeTime(given)
forget(now)
verify(prefixOf(base), run, opened, now)
sweep(base, now, 8)

-- Other owners may refuse: then a bucket that this call begins or changes is to be as it was.
local function noteBefore(seen)
  if string.byte(ARGV[2]) == 0 then return end
  local before, isChanged = {}, false
  for i, charge in ipairs(charges) do
    before[charge.key] = charge.loaded.packed or ''
    isChanged = isChanged or not isAsSeen(charge.loaded.c[charge.name], charge, seen[i])
  end
  if isChanged then redis.call('SET', base .. 'u:' .. id, cmsgpack.pack(before), 'PX', UNDONE_WITHIN) end
end

local function decide()
  for _, charge in ipairs(charges) do
    if isStale(charge, now) then return { 2, now } end
  end
  local hold = readHold(KEYS[1])
  if hold and hold.state ~= 'h' then return { 3, now } end
  local unknown = not hold and unknownOf(charges, now)
  if unknown then return unknown end

  local seen, tripped = {}, {}
  for i, charge in ipairs(charges) do
    seen[i] = view(charge.loaded.c[charge.name], charge, now)
    tripped[i] = seen[i].ended or isOver(seen[i].used, seen[i].quota, charge)
  end
  local granted = not hold and not refuses(charges, tripped)
  local reply = { hold and 4 or granted and 1 or 0, now }
  for i, charge in ipairs(charges) do
    local added = granted and charge.amount or 0
    addStatus(reply, charge.loaded.c[charge.name], seen[i], tripped[i], charge, now, added)
  end
  if granted then
    local amounts = {}
    noteBefore(seen)
    for i, charge in ipairs(charges) do
      add(charge.loaded, charge, seen[i], charge.amount, now)
      amounts[i] = heldOf(charge, seen[i])
    end
    local made = { state = 'h', expires = now + first, admitted = now, amounts = amounts, tail = ARGV[2] }
    openHold(base, KEYS[1], id, made, now)
  end
  return reply
end

local reply = decide()
writePartitions(now, charges)
return reply
