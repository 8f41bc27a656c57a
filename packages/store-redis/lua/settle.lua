--[[
  Replaces what a hold has set aside by what was used, once.

  KEYS, ARGV as in reserve.lua, with the windows of the settlement's instant, which is the operation's first number; a
  charge's amount is the actual one. Second: 1 to leave an id alone that is not known.

  An excess is added to the bucket of the instant; a surplus is given back only to a bucket that is still open then.
  Counters that nobody vouches for are left alone. Returns 1 settled, 2 late (the hold had expired or is unknown: the
  difference was charged), 0 closed before. Safe to run twice.
]]

--- @include partition
--- @include counter
--- @include hold
--- @include charge

local charges = readCharges(SHAPE or ARGV[#ARGV])
local now = storeTime(given)
forget(now)
verify(prefixOf(base), run, opened, now)
sweep(base, now, 8)

local function settle(charge, held)
  local reserved = held and held.amount or 0
  if charge.kind == 'C' then
    if held then giveBack(held, reserved, first) end
    return
  end
  if charge.amount < reserved then return giveBack(held, reserved - charge.amount, first) end
  if charge.amount == reserved then return end
  local record = charge.loaded.c[charge.name]
  local seen = view(record, charge, first)
  -- A bucket that is over by now has nothing left to protect.
  local isPast = charge.kind == 'F' and record and record.kind == 'F' and record.start > seen.bucket
  if charge.kind == 'F' and now >= seen.ends then isPast = true end
  if not isPast then add(charge.loaded, charge, seen, charge.amount - reserved, now) end
end

local hold = readHold(KEYS[1])
local reply = 0
if not hold and second == 0 or hold and (hold.state == 'h' or hold.state == 'e') then
  for _, charge in ipairs(charges) do
    local held = heldIn(hold, charge)
    local record = charge.loaded.c[charge.name]
    if isUnknown(charge.loaded, charge, first) then
      leaveToLedger(charge, now)
    elseif held or first > (record and record.counted or -1) then
      settle(charge, held)
    end
  end
  reply = hold and hold.state == 'h' and 1 or 2
  closeHold(KEYS[1], base, id, 's', hold)
end
writePartitions(now, charges)
return reply
